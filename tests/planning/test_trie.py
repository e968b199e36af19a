"""Plans along a trie of labels, against one plain pass per plan and every plan counted.

The reference knows neither caches nor masks nor trees: it runs prompt and caption as one sequence, and asks of each
token which others any label would have allowed in its place.
"""

import itertools
import string

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from leaplan.errors import ConfigError
from leaplan.planning import label_trie
from leaplan.planning.captions import PlanCaptions
from leaplan.planning.counting import PAD
from leaplan.planning.label_trie import LabelTrie, label_log_probabilities
from leaplan.planning.trie import best_plans, read_prompt, score_plans
from leaplan.planning.trie_bench import trie_against_reencoding
from leaplan.planning.trie_search import PlanSearch

LABELS = ["add", "add milk", "a", "stir", "add salt", "stop", "milk"]
END, WORDS, WIDTH, PROMPT = 0, 32, 16, 5
SIGNS = '[]," ' + string.ascii_lowercase
KINDS = ("llama", "llama, eager", "qwen2", "gpt2", "gpt2, eager", "lora")


def tokens(text):
    return [1 + SIGNS.index(sign) for sign in text]


def small_model(kind, seed=0, scale=0.5, **settings):
    """A causal language model whose weights are large enough to have an opinion."""
    torch.manual_seed(seed)
    attention = "eager" if "eager" in kind else "sdpa"
    if "gpt2" in kind:
        sizes = {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 64}
        config = GPT2Config(vocab_size=WORDS, initializer_range=scale, attn_implementation=attention, **sizes)
        return GPT2LMHeadModel(config).eval().double()
    sizes = {"hidden_size": WIDTH, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": scale, **settings}
    family = (Qwen2Config, Qwen2ForCausalLM) if kind == "qwen2" else (LlamaConfig, LlamaForCausalLM)
    model = family[1](family[0](vocab_size=WORDS, attn_implementation=attention, **sizes)).eval().double()
    return with_adapters(model) if kind == "lora" else model


def with_adapters(model):
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "lm_head"], task_type="CAUSAL_LM"))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return adapted.double().eval()


def made_captions(labels=5):
    return PlanCaptions(LABELS[:labels], tokens, END)


def made_prompt(windows, seed=1):
    return torch.randn(windows, PROMPT, WIDTH, generator=torch.Generator().manual_seed(seed)).double()


@torch.no_grad()
def log_softmax_behind(model, prompt, ids):
    """Log-probabilities (L, V) of the next token at every place of `ids` (L), by one plain pass."""
    embedded = torch.cat([prompt, model.get_input_embeddings()(torch.tensor(ids))])
    logits = model(inputs_embeds=embedded[None], use_cache=False).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).numpy()


def renormalised_over_labels(rows, pieces, label):
    """Log-probability of a label from log-probabilities (W, V) at its places, among what `pieces` allow there."""
    total = 0.0
    for place, word in enumerate(pieces[label]):
        allowed = {p[place] for p in pieces if p[:place] == pieces[label][:place]}
        total += rows[place][word] - np.logaddexp.reduce([rows[place][w] for w in sorted(allowed)])
    return total


def reference_scores(model, prompt, captions, plan):
    """Constrained and raw log-probability of a plan behind a prompt (P, H)."""
    ids, starts = tokens("["), []
    for number, step in enumerate(plan):
        ids += tokens(",") if number else []
        starts.append(len(ids))
        ids += captions.pieces[step]
    ids += [*tokens("]"), END]
    rows = log_softmax_behind(model, prompt, ids)
    constrained = sum(
        renormalised_over_labels(rows[s:], captions.pieces, step) for s, step in zip(starts, plan, strict=True)
    )
    return constrained, rows[range(len(ids)), ids].sum()


def every_plan(model, prompt, captions, horizon):
    """Constrained log-probabilities (N^T,) of all plans, in the order of itertools.product."""
    plans = list(itertools.product(range(len(captions.labels)), repeat=horizon))
    return plans, np.array([reference_scores(model, prompt, captions, plan)[0] for plan in plans])


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_over_the_tree_equals_one_pass_per_label(kind):
    model, captions, prompt = small_model(kind), made_captions(7), made_prompt(2)
    cache, _ = read_prompt(model, prompt, captions, 3)
    asked = [(0, ()), (1, (1,)), (0, (4, 2)), (1, ())]  # beginnings of different lengths
    beginnings = [captions.beginning(steps) for _, steps in asked]
    scores = label_log_probabilities(model, cache, [row for row, _ in asked], beginnings, captions.trie)
    within = 1e-5 if kind == "llama, eager" else 1e-9  # its softmax is in single precision
    for (row, _), beginning, found in zip(asked, beginnings, scores.numpy(), strict=True):
        for label, piece in enumerate(captions.pieces):
            rows = log_softmax_behind(model, prompt[row], beginning + piece)[len(beginning) :]
            assert found[label] == pytest.approx(renormalised_over_labels(rows, captions.pieces, label), abs=within)
    np.testing.assert_allclose(scores.exp().sum(1), 1, atol=1e-9)


@pytest.mark.parametrize(("kind", "horizon", "labels"), [("llama", 3, 5), ("qwen2", 2, 7), ("gpt2", 2, 6)])
def test_the_best_plans_are_the_best_of_all_plans(kind, horizon, labels):
    model, captions, prompt = small_model(kind), made_captions(labels), made_prompt(2)
    found = best_plans(model, prompt, captions, horizon, alternatives=6, budget=1000)
    assert found.certain.all()
    for row in range(2):
        plans, scores = every_plan(model, prompt[row], captions, horizon)
        order = np.argsort(-scores)[:6]
        assert [tuple(plan) for plan in found.plans[row].tolist()] == [plans[i] for i in order]
        np.testing.assert_allclose(found.log_probability[row], scores[order], atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2, eager"])
def test_scores_of_given_plans_are_those_of_a_plain_pass(kind):
    model, captions, prompt = small_model(kind), made_captions(), made_prompt(2)
    plans = torch.tensor([[[0, 1, 2], [4, 4, 4]], [[3, 0, 1], [2, 2, 0]]])
    constrained, raw = score_plans(model, prompt, captions, plans)
    for row, rank in itertools.product(range(2), range(2)):
        expected = reference_scores(model, prompt[row], captions, plans[row, rank].tolist())
        assert constrained[row, rank].item() == pytest.approx(expected[0], abs=1e-9)
        assert raw[row, rank].item() == pytest.approx(expected[1], abs=1e-9)
    assert (raw < constrained).all()


def test_probabilities_of_all_plans_add_up_to_one():
    model, captions, prompt = small_model("qwen2"), made_captions(6), made_prompt(2)
    plans = torch.tensor(list(itertools.product(range(6), repeat=2))).expand(2, -1, -1)
    constrained, raw = score_plans(model, prompt, captions, plans)
    np.testing.assert_allclose(constrained.exp().sum(1), 1, atol=1e-9)
    assert (raw.exp().sum(1) < 1).all()
    found = best_plans(model, prompt, captions, 2, alternatives=40, budget=1000)  # all 36 and room for four
    np.testing.assert_allclose(found.log_probability.exp().sum(1), 1, atol=1e-5)
    assert len(set(map(tuple, found.plans[0, :36].tolist()))) == 36
    assert (found.plans[:, 36:] == PAD).all()
    assert found.log_probability[:, 36:].isneginf().all()


def test_a_window_gets_the_same_plans_in_any_batch():
    model, captions, prompt = small_model("llama"), made_captions(7), made_prompt(5)
    together = best_plans(model, prompt, captions, 3, alternatives=3, budget=6)
    assert together.certain.any()
    assert not together.certain.all()
    for row in range(5):
        alone = best_plans(model, prompt[row : row + 1], captions, 3, alternatives=3, budget=6)
        assert torch.equal(alone.plans[0], together.plans[row])
        torch.testing.assert_close(alone.log_probability[0], together.log_probability[row])
        assert alone.certain[0] == together.certain[row]
        assert alone.expansions[0] == together.expansions[row]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_results_do_not_depend_on_how_much_is_run_at_once(kind, monkeypatch):
    model, captions, prompt = small_model(kind), made_captions(7), made_prompt(4)
    plans = torch.randint(7, (4, 3, 2))
    whole = best_plans(model, prompt, captions, 2, alternatives=3), score_plans(model, prompt, captions, plans)
    monkeypatch.setattr(label_trie, "PASS_LOGITS", {"cpu": 2 * WORDS, "cuda": 0})
    monkeypatch.setattr(label_trie, "PASS_TOKENS", {"cpu": 1, "cuda": 0})
    pieces = best_plans(model, prompt, captions, 2, alternatives=3), score_plans(model, prompt, captions, plans)
    for one, other in zip(itertools.chain(*whole), itertools.chain(*pieces), strict=True):
        torch.testing.assert_close(one, other)


def test_reading_a_prompt_once_serves_any_number_of_questions():
    model, captions, prompt = small_model("llama"), made_captions(), made_prompt(2)
    cache, _ = read_prompt(model, prompt, captions, 2)
    before = [layer.keys.clone() for layer in cache.layers]
    first, second = (
        label_log_probabilities(model, cache, [0, 1], [captions.beginning((s,)) for s in (0, 1)], captions.trie)
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert all(torch.equal(layer.keys, kept) for layer, kept in zip(cache.layers, before, strict=True))


def test_a_plan_of_the_only_label_is_certain():
    model, captions, prompt = small_model("llama"), made_captions(1), made_prompt(2)
    found = best_plans(model, prompt, captions, 3)
    assert found.plans.tolist() == [[[0, 0, 0]]] * 2
    assert found.log_probability.tolist() == [[0.0], [0.0]]
    assert found.certain.all()
    assert score_plans(model, prompt, captions, found.plans)[0].abs().max() == 0


def test_only_nodes_with_a_choice_behind_them_are_run():
    pieces = [tokens(label) for label in ('"stir"', '"stop"', '"milk"')]
    tree = LabelTrie(pieces)
    assert tree.nodes == 14  # " s t i r " o p " m i l k "
    assert tree.token.tolist() == tokens('"st')
    assert tree.depth.tolist() == [1, 2, 3]
    assert tree.ancestors.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert tree.choices == [1, 3]  # behind the quote, and behind "st


def test_low_precision_only_costs_precision():
    captions, prompt = made_captions(), made_prompt(2)
    plans = torch.arange(5)[None, :, None].expand(2, -1, -1)
    for kind in ("llama", "llama, eager"):
        model = small_model(kind, scale=0.1)
        exact, _ = score_plans(model, prompt, captions, plans)
        found = best_plans(model.bfloat16(), prompt, captions, 1, alternatives=5)
        np.testing.assert_allclose(found.log_probability.exp().sum(1), 1, atol=1e-4)
        np.testing.assert_allclose(found.log_probability, exact.sort(descending=True).values, atol=0.05)


@pytest.mark.parametrize("budget", [1, 4, 7, 12, 400])
def test_certain_is_said_only_where_it_is_true(budget):
    captions, said, right = made_captions(), [], []
    for seed in range(4):
        model, prompt = small_model("llama", seed, scale=0.4), made_prompt(3, seed)
        found = best_plans(model, prompt, captions, 2, budget=budget)
        assert (found.expansions <= max(budget, 2)).all()
        for row in range(3):
            plans, scores = every_plan(model, prompt[row], captions, 2)
            said.append(bool(found.certain[row]))
            right.append(tuple(found.plans[row, 0].tolist()) == plans[int(scores.argmax())])
    assert all(true for claimed, true in zip(said, right, strict=True) if claimed)
    assert all(said) if budget == 400 else not (budget < 4 and all(said))


def random_search(seed, horizon, labels, alternatives, budget, sharpness):
    """Search plans of a made-up table of next-step probabilities; return the search and all plans' true scores."""
    random = np.random.default_rng(seed)
    table = {
        steps: np.log(random.dirichlet(np.full(labels, sharpness)))
        for length in range(horizon)
        for steps in itertools.product(range(labels), repeat=length)
    }
    search = PlanSearch(horizon, alternatives, budget)
    while (steps := search.next()) is not None:
        order = np.argsort(-table[steps], kind="stable")
        search.expand(order, table[steps][order])
    truth = {
        plan: sum(table[plan[:length]][plan[length]] for length in range(horizon))
        for plan in itertools.product(range(labels), repeat=horizon)
    }
    return search, truth


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 20.0])
def test_search_is_honest_on_many_random_tables(sharpness):
    claims = []
    for seed in range(40):
        for budget in (1, 3, 5, 10, 20, 1000):
            search, truth = random_search(seed, 3, 4, 3, budget, sharpness)
            best = sorted(truth.values(), reverse=True)
            assert [-negative for negative, _ in search.found] == pytest.approx([truth[p] for _, p in search.found])
            claims.append(search.certain)
            if search.certain:
                assert -search.found[0][0] == pytest.approx(best[0])
            if budget == 1000:
                assert search.certain
                assert [-negative for negative, _ in search.found] == pytest.approx(best[:3])
            assert search.expansions <= max(budget, 3)
    assert len(set(claims)) == 2


def test_more_expansions_never_find_worse_plans():
    for seed in range(20):
        scores = [-random_search(seed, 3, 5, 1, budget, 5.0)[0].found[0][0] for budget in (1, 3, 6, 12, 31)]
        assert scores == sorted(scores)


def test_a_peaked_model_needs_no_more_than_the_greedy_descent():
    search = PlanSearch(3, 1, 100)
    while search.next() is not None:
        search.expand(np.array([2, 0, 1]), np.log([0.98, 0.01, 0.01]))
    assert search.expansions == 3
    assert search.found[0][1] == (2, 2, 2)
    assert search.certain


def test_a_plan_longer_than_the_context_is_refused():
    with pytest.raises(ConfigError, match="the language model reads 64"):
        best_plans(small_model("gpt2"), made_prompt(1), made_captions(), 6)


def test_a_model_that_does_not_see_all_is_refused():
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
    with pytest.raises(ConfigError, match="does not see all 18 tokens"):
        best_plans(small_model("qwen2", **window), made_prompt(1), made_captions(2), 1)


def test_attention_that_takes_no_mask_is_refused():
    model = small_model("llama")
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ConfigError, match="flash_attention_2"):
        score_plans(model, made_prompt(1), made_captions(), torch.zeros(1, 1, 2, dtype=torch.int64))


def test_the_benchmark_compares_equal_scores():
    figures = trie_against_reencoding(labels=12, windows=1, prompt_tokens=4, repeats=1)
    assert figures["difference"] < 1e-4
    assert figures["nodes_run"] < figures["nodes"]


@pytest.mark.slow
def test_the_trie_is_at_least_five_times_faster_than_reading_anew():
    figures = trie_against_reencoding(repeats=3)
    assert figures["parameters"] == pytest.approx(1e6, rel=0.2)
    assert sorted(figures["ratio"])[1] > 5  # the median of three
