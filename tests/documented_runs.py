"""Where each command of README and docs is run: here (RUN), in another test (ELSEWHERE), or not, and why (NEEDS).

Patterns are searched for in the command's words. The first table that fits counts, so RUN should be precise.
"""

CI = "trains for minutes; .ci/run runs make train-planllm, train-leap and demo, which train the same way"
DATA = "needs a dataset that cannot be distributed; the command is parsed, and small data take the same path in tests"

RUN = (
    r"^leaplan score (?!--protocol)",
    r"^leaplan compare ",
    r"^leaplan generate-programs .*--root /data (?!.*--brief)(?!.*--base-url)",
    r"^leaplan check-programs programs/epic100",
    r"^leaplan describe-steps .*--dry-run",
    r"^leaplan configs ",
    r"^leaplan completion ",
    r"^leaplan info$",
    r"^leaplan study ",
    r"^leaplan fit --config \S+ --print_config",
    r"^leaplan fit --config workshop.yaml",
    r"^leaplan extract-features .*--encoder brightness",
    r"^leaplan( --help|$| VERB --help)",
)
"""Patterns of commands that tests/test_documented_runs.py runs, in a folder with small stand-ins."""

ELSEWHERE = {
    r"^leaplan test( --config|$)": ("test_cli.py", "test_the_saved_config_alone_repeats_the_evaluation"),
    r"^leaplan (fit|score)$": ("test_cli.py", "test_score_of_the_predictions_file_gives_the_figures_of_the_run"),
    r"^leaplan (validate|predict)": ("test_cli.py", "test_validate_and_predict_use_the_best_checkpoint"),
    r"^leaplan score --protocol": ("recognition/test_score.py", "test_figures_equal_the_definitions"),
    r"^leaplan report": ("test_report.py", "test_one_run_has_the_figures_and_intervals_of_score"),
    r"^leaplan check-data": ("data/test_check.py", "test_all_is_well_with_the_real_data"),
    r"^leaplan bench( planner|$)": ("planning/test_bench.py", "test_the_verb_prints_a_table_and_writes_the_figures"),
    r"^leaplan bench language": (
        "planning/test_bench.py",
        "test_the_language_benchmark_compares_equal_scores_and_plans_a_7b_model",
    ),
    r"^leaplan bench recogniser(?!.*cuda)": (
        "recognition/test_recogniser_bench.py",
        "test_the_verb_prints_tables_and_the_bound_and_writes_the_figures",
    ),
    r"^leaplan bench --compare": ("test_bench.py", "test_a_comparison_tells_each_row_and_warns_of_another_machine"),
    r"^leaplan bench decode": ("data/test_bench.py", "test_every_film_is_told_with_and_without_the_cache"),
    r"^leaplan plan( |$)": ("test_plan_video.py", "test_the_verb_writes_text_json_and_a_strip"),
    r"^leaplan recognise ": ("test_recognise_video.py", "test_the_verb_tells_a_film_along_time"),
    r"^leaplan convert-weights": (
        "recognition/test_convert.py",
        "test_a_converted_file_gives_the_logits_that_its_source_gives",
    ),
    r"^leaplan check-programs FILE": (
        "programs/test_generate.py",
        "test_the_synthetic_kitchen_gets_programs_in_its_own_words",
    ),
    r"^leaplan fit .*frame_by_frame": ("test_documented_runs.py", "test_the_backbone_of_the_page_learns"),
    r"^leaplan fit .*our_llm": (
        "test_documented_runs.py",
        "test_the_language_model_of_the_page_is_one_that_a_planner_takes",
    ),
    r"--base-url http://localhost": (
        "test_describe_steps.py",
        "test_every_step_is_described_in_the_layout_of_schema_with_its_origin",
    ),
    r"^leaplan describe-steps": (
        "test_describe_steps.py",
        "test_every_step_is_described_in_the_layout_of_schema_with_its_origin",
    ),
    r"^leaplan generate-programs": (
        "programs/test_generate.py",
        "test_every_clip_has_a_row_in_the_order_of_the_annotations",
    ),
    r"^leaplan demo --serve": ("test_demo.py", "test_the_page_needs_its_extra_before_anything_is_done"),
    r"^leaplan demo": ("test_demo.py", "test_a_finished_demo_does_nothing_again"),
    r"^leaplan export .*--onnx": ("test_export.py", "test_onnx_agrees_for_any_number_of_samples"),
    r"^leaplan export": (
        "test_export.py",
        "test_exported_models_answer_as_their_runs_in_a_process_that_has_only_the_folders",
    ),
}
"""Pattern to the test, file and name, that runs the same verb with the same kind of arguments on something small."""

NEEDS = {
    r"^make": CI + "; what any make command calls is checked call by call in tests/test_documents.py",
    r"^leaplan fit .*--root /data": DATA,
    r"^leaplan fit .*(synthetic|kitchen|\.\.\.|EXPERIMENT)": CI,
    r"--encoder (s3d|timm)": "needs weights that are downloaded; extraction runs with an encoder of our own",
    r"^leaplan extract-features": "needs videos or weights; extraction runs with an encoder of our own",
    r"^leaplan bench .*(cuda|chat|programs|extract)": "takes minutes, a GPU or a dataset; `make bench` is for that",
    r"^leaplan (--\w+|\w+ --\w+)$": "told in part within a sentence",
}
"""Pattern to the reason why a command is parsed only."""
