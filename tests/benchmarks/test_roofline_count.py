"""FLOPs and bytes of graphs: by hand, by the formula of BERT, as TensorFlow counts them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dualtower_benchmarks.roofline.op_cost import flops_of

GRAPHS = Path(__file__).with_name("roofline_graphs.py")
LAYERS, HIDDEN, INNER, BATCH, TOKENS = 2, 384, 1536, 2, 24  # of its BERT


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All graphs, counted in one process: what is slow is TensorFlow's start."""
    command = [sys.executable, str(GRAPHS), str(tmp_path_factory.mktemp("graphs"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_bert_takes_what_its_formula_says(counts: dict[str, Any]) -> None:
    # two FLOPs for every weight of a product and token, and the two products of attention
    weights = LAYERS * (4 * HIDDEN**2 + 2 * HIDDEN * INNER)
    products = TOKENS * 2 * weights + LAYERS * 4 * TOKENS**2 * HIDDEN
    count = counts["bert"]
    by_op = count["flops_by_op_per_row"]
    assert by_op["MatMul"] + by_op["BatchMatMulV2"] == products
    assert count["flops_per_row"] == pytest.approx(products, rel=0.02)
    assert count["not_counted"] == []


@pytest.mark.slow
def test_a_bert_reads_its_weights_once_a_call(counts: dict[str, Any]) -> None:
    layer = 4 * HIDDEN**2 + 2 * HIDDEN * INNER + INNER + 9 * HIDDEN
    rows_of_words = BATCH * TOKENS * HIDDEN
    found = counts["bert"]["weight_bytes_per_call"]
    assert found == pytest.approx(4 * (LAYERS * layer + rows_of_words), rel=1e-3)


@pytest.mark.slow
def test_other_ops_of_a_bert_by_their_shapes(counts: dict[str, Any]) -> None:
    by_op = counts["bert"]["flops_by_op_per_row"]
    assert by_op["Softmax"] == LAYERS * 5 * 12 * TOKENS**2
    assert by_op["Erfc"] == LAYERS * TOKENS * INNER
    assert by_op["Rsqrt"] == LAYERS * 2 * TOKENS * 2


@pytest.mark.slow
def test_a_graph_counted_by_hand(counts: dict[str, Any]) -> None:
    # [5, 8] x [8, 3]: 2 * 8 * 3 a row; relu: 3
    count = counts["hand"]
    assert count["flops_per_row"] == 48 + 3
    assert count["weight_bytes_per_call"] == 8 * 3 * 4
    # the product reads 8 and writes 3 numbers a row, relu reads 3 and writes 3
    assert count["bytes_per_row"] == pytest.approx((8 + 3 + 3 + 3) * 4 + 96 / 5)
    # in comes [5, 8], out goes [5, 3]
    assert count["least_bytes_per_row"] == pytest.approx((8 + 3) * 4 + 96 / 5)
    assert count["intensity"] == pytest.approx(51 / (17 * 4 + 96 / 5))


@pytest.mark.slow
def test_what_tensorflows_profiler_counts(counts: dict[str, Any]) -> None:
    assert counts["small"]["flops_per_row"] * 2 == counts["small_profiler"]
    bert = counts["bert"]
    known = bert["flops_per_row"] - bert["flops_by_op_per_row"]["Erfc"]  # which it leaves out
    assert known * BATCH == counts["bert_profiler"]


@pytest.mark.slow
def test_only_the_branch_that_ran_and_the_rows_that_were_left(counts: dict[str, Any]) -> None:
    assert counts["many_rows"]["flops_by_op_per_row"]["MatMul"] == 2 * 16 * 16
    few = 3 * (2 * 16 * 2 + 2 * 2 * 16)
    assert counts["few_rows"]["flops_by_op_per_row"]["MatMul"] * 10 == few


@pytest.mark.slow
def test_a_loop_counts_every_round(counts: dict[str, Any]) -> None:
    assert counts["looping"]["flops_by_op_per_row"]["MatMul"] == 3 * 2 * 4 * 4


@pytest.mark.slow
def test_an_einsum_takes_every_label_once(counts: dict[str, Any]) -> None:
    assert counts["contracted"]["flops_by_op_per_row"]["Einsum"] == 2 * 5 * 6 * 2 * 3


@pytest.mark.parametrize(
    ("left", "right", "output"),
    [
        ((3, 4), (4, 5), (3, 5)),
        ((4, 3), (4, 5), (3, 5)),
        ((3, 4), (5, 4), (3, 5)),
        ((4, 3), (5, 4), (3, 5)),
    ],
)
def test_a_product_whichever_side_is_transposed(
    left: tuple[int, ...], right: tuple[int, ...], output: tuple[int, ...]
) -> None:
    assert flops_of("MatMul", [left, right], output).product == 2 * 3 * 4 * 5
    batched = [(7, *left), (7, *right)]
    assert flops_of("BatchMatMulV2", batched, (7, *output)).product == 7 * 2 * 3 * 4 * 5


def test_shapes_that_do_not_multiply_are_refused() -> None:
    with pytest.raises(ValueError, match="do not multiply"):
        flops_of("MatMul", [(3, 4), (6, 5)], (3, 5))


def test_an_op_without_a_rule_is_not_passed_over() -> None:
    assert not flops_of("Bessel", [(3,)], (3,)).known
    assert flops_of("Bessel", [(3,)], (3,), floating=False).known
    assert flops_of("Add", [(3,), (3,)], (3,), floating=False).other == 0
