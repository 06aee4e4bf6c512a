"""Where the modules of version 0.1.0 are now, and what is called otherwise."""

PACKAGES = {
    "savs_analyze": """
        audit: runs.audit
        baseline_learner: votes.neighbours
        blocks: report.blocks
        cells: runs.cells cli.parse
        charts: report.charts report.curves
        choice: findings.choice
        classifier: methods.estimator
        cli: cli.commands cli.stores cli.sweeps cli.results cli.pictures
        comparisons: findings.comparisons measure.intervals
        confusion: measure.confusion
        criterion: parts.criterion
        draws: draws.draws
        figures: report.head_maps report.curves report.drawing
        group: runs.draw_pass
        intervals: measure.intervals
        lasso: lasso.path
        lasso_classifier: lasso.estimator
        lasso_penalty: lasso.penalty
        lasso_problem: lasso.problem
        lasso_references: lasso.references
        learners: methods.learners
        learnt: methods.context
        methods: methods.recipes lasso.estimator methods.kinds.heads methods.kinds.sparse
        metrics: measure.metrics measure.units
        options: cli.options
        papers: papers.published report.layout
        planted: cli.planted
        printing: cli.printing runs.spreadsheet
        progress: cli.progress
        projection: across.projection report.across cli.parse
        report: report.page
        results: runs.results
        saved: runs.saved
        savs_learner: methods.kinds.heads
        sections: report.sections report.curves
        selection: parts.selection
        settings: methods.settings
        similarity: votes.similarity
        sparse_learner: methods.kinds.sparse
        stability: findings.stability
        studies: papers.studies runs.request
        sweep: runs.sweep
        tables: report.notes findings.summary report.layout
        transfer: across.transfer report.across
        transform: parts.transform
        validation: draws.validation
        voting: votes.voting
        work: runs.work
    """,
    "savs_benchmarks": """
        archives: files.archives
        blink: papers.blink
        classification: papers.classification
        containers: pictures.containers
        cub: papers.cub
        digits: digits.digits
        digits_claims: digits.claims
        digits_compare: digits.compare
        digits_pairs: digits.pairs
        eurosat: papers.eurosat
        exif: pictures.exif
        flowers: papers.flowers
        imagenet: papers.imagenet
        jsonl: files.jsonl
        mhalu: papers.mhalu
        naturalbench: papers.naturalbench
        naturalbench_retrieval: papers.naturalbench_retrieval
        pets: papers.pets
        pictures: pictures.pictures
        published: files.published
        rows: files.rows
        source: files.source
        sugarcrepe: papers.sugarcrepe
        tiff: pictures.tiff
        vizwiz: papers.vizwiz
        vlguard: papers.vlguard
    """,
    "savs_harvest": """
        adapters: models.adapters
        answers: models.answers
        batches: batches.plan
        checkpoints: models.checkpoints
        checks: asking.checks
        cli: cli.commands cli.runs cli.plans cli.data cli.options cli.chosen
        families: models.families
        few_shot: asking.few_shot
        forecast: run.forecast
        heads: models.heads
        index: asking.index asking.hashing
        last_position: models.last_position
        layout_check: batches.layout_check
        layouts: batches.layouts models.inputs models.heads
        models: models.loading models.specs models.compiled
        packing: batches.packing
        patches: models.patches
        preparing: asking.preparing
        processors: models.processors
        progress: cli.progress
        prompts: models.prompts
        provenance: run.provenance
        ranks: run.ranks
        renderer: models.renderer
        rendering: models.rendering
        run: run.harvest run.settings run.report run.work run.writing
        runner: batches.runner batches.buffers batches.batching
        show: cli.overview
        templates: models.templates
        tiny: models.tiny
        tiny.corpus: models.tiny.corpus
        tiny.processor: models.tiny.processor
        tiny.train: models.tiny.train
        whole_answers: batches.whole_answers
    """,
    "savs_stores": """
        by_zarr: place.by_zarr
        checksums: format.checksums
        direct: place.local
        fingerprint: format.fingerprint
        group: place.group
        heads: format.heads
        layout: format.layout
        model_group: place.model_group
        place: place.place place.keys place.folder place.disk place.building
        plan: format.plan
        provenance: format.provenance place.model_group
        ranged: place.ranged
        read: vectors
        remote: place.remote faults
        samples: format.samples
        schema: format.schema faults
        shard: format.shard
    """,
}
MODULES = {
    f"{package}.{old}": tuple(f"{package}.{new}" for new in places.split())
    for package, lines in PACKAGES.items()
    for old, places in (line.strip().split(": ") for line in lines.strip().splitlines())
}
RENAMED = {
    "savs_benchmarks.jsonl.LineError": "savs_benchmarks.errors.KindError",
    "savs_analyze.blocks.Cell": "savs_analyze.report.blocks.Entry",
    "savs_analyze.cli.MOST_COLUMNS": "savs_analyze.report.layout.MOST_COLUMNS",
    "savs_analyze.cli.sweep": "savs_analyze.cli.sweeps.sweep",
    "savs_analyze.options.StoreArgument": "savs_analyze.cli.options.StoreOption",
    "savs_analyze.comparisons.Draw": "savs_analyze.findings.comparisons.Paired",
    "savs_analyze.criterion.CRITERIA": "savs_analyze.parts.criterion.CRITERIA",
    "savs_analyze.figures.MOST_COLUMNS": "savs_analyze.report.head_maps.MAPS_A_LINE",
    "savs_analyze.figures.REPRODUCIBLE": "savs_analyze.report.drawing.STYLE",
    "savs_analyze.group.SIMILARITY_BYTES": "savs_analyze.draws.testing.SIMILARITY_BYTES",
    "savs_analyze.intervals.LEVEL": "savs_analyze.measure.intervals.COVERAGE",
    "savs_analyze.learnt.Learnt": "savs_analyze.votes.fitted.Fitted",
    "savs_analyze.learnt.Support": "savs_analyze.methods.context.Context",
    "savs_analyze.methods.Method": "savs_analyze.methods.method.Method",
    "savs_analyze.methods.SELECTIONS": "savs_analyze.methods.kinds.heads.SELECTIONS",
    "savs_analyze.metrics.OF_CLASSES": "savs_metrics.OF_CLASSES",
    "savs_analyze.papers.compare": "savs_analyze.papers.published.beside_published",
    "savs_analyze.papers.footnotes": "savs_analyze.report.notes.papers_notes",
    "savs_analyze.papers.laid_out": "savs_analyze.report.layout.papers_table",
    "savs_analyze.saved.MOST_COLUMNS": "savs_analyze.runs.saved.MOST_ROW_COLUMNS",
    "savs_analyze.sections.Found": "savs_analyze.findings.findings.Findings",
    "savs_analyze.sections.MOST_NAME": "savs_analyze.report.notes.MOST_NAME",
    "savs_analyze.sections.MOST_COLUMNS": "savs_analyze.report.layout.MOST_COLUMNS",
    "savs_analyze.similarity.SIMILARITIES": "savs_analyze.votes.similarity.KERNELS",
    "savs_analyze.transfer.Task": "savs_analyze.draws.task.Task",
    "savs_analyze.transfer.choose": "savs_analyze.across.transfer.choose_name",
    "savs_analyze.transfer.footnotes": "savs_analyze.report.notes.transfer_notes",
    "savs_analyze.transfer.laid_out": "savs_analyze.report.layout.transfer_table",
    "savs_analyze.transform.TRANSFORMS": "savs_analyze.parts.transform.TRANSFORMS",
    "savs_analyze.voting.VOTES": "savs_analyze.votes.vote.VOTES",
    "savs_harvest.models.load_model": "savs_harvest.batches.layout_check.load_model",
}
# What has no successor under another name: see CHANGELOG.md.
GONE = (
    "savs_analyze.comparisons.LATTICE",
    "savs_analyze.comparisons.LEAST",
    "savs_analyze.comparisons.LEAST_P",
    "savs_analyze.comparisons.sign_flip_test",
    "savs_analyze.intervals.REPLICATES",
    "savs_analyze.intervals.REPLICATES_AT_ONCE",
    "savs_analyze.intervals.interval",
    "savs_analyze.intervals.replicates",
    "savs_analyze.intervals.task_seed",
    "savs_analyze.baseline_learner.baseline_votes",
    "savs_analyze.baseline_learner.learn_baseline",
    "savs_analyze.criterion.CLASS_CRITERIA",
    "savs_analyze.learners.probabilities",
    "savs_analyze.methods.BASELINES",
    "savs_analyze.methods.Baseline",
    "savs_analyze.methods.DISPLAYED",
    "savs_analyze.metrics.GROUP_SIZES",
    "savs_analyze.savs_learner.layer_votes",
    "savs_analyze.savs_learner.learn_savs",
    "savs_analyze.savs_learner.savs_votes",
    "savs_analyze.similarity.BASES",
    "savs_analyze.sparse_learner.learn_sparse",
    "savs_analyze.sparse_learner.sparse_votes",
    "savs_analyze.voting.CLASS_VOTES",
    "savs_benchmarks.sample.GROUP_SIZES",
    "savs_harvest.layouts.PER_TOKEN",
    "savs_harvest.models.PACKED",
)
