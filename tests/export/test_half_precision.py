"""`export.compute_dtype`: an item tower that computes in half precision, through its gates."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dualtower_export.gate_files import check_ops, check_signatures
from dualtower_export.gate_parity import check_item_tower
from dualtower_export.models_writer import build_models
from dualtower_export.saved_model import read_proto, write_saved_model
from dualtower_export.serving_session import open_model


@pytest.fixture(scope="module", params=["bfloat16", "float16"])
def half(request, plan, tmp_path_factory: pytest.TempPathFactory):
    """The plan of an export in half precision, and the item tower that it writes."""
    # a BERT of random weights, 32 wide, loses ten times what a trained one of 384 does
    config = dataclasses.replace(
        plan.config, compute_dtype=request.param, half_error=0.03, half_cosine=0.997
    )
    halved = dataclasses.replace(plan, config=config)
    folder = tmp_path_factory.mktemp(request.param) / "1"
    item_tower = next(model for model in build_models(halved) if model.name == "item_tower")
    write_saved_model(item_tower, folder)
    return halved, folder


def test_it_passes_the_gates_of_its_precision_and_not_those_of_float32(half, reference) -> None:
    plan, folder = half
    texts = [str(text) for text in plan.trained.texts]
    tokenizer = plan.encoder.tokenizer
    with open_model(folder) as model:
        gates = list(check_item_tower(model, reference, tokenizer, texts, plan.config))
        assert [gate.name for gate in gates] == [
            "parity/item_tower.serving_default",
            "parity/item_tower.from_tokens",
        ]
        for gate in gates:
            assert gate.passed, gate.detail
            assert gate.threshold == plan.config.half_error
            assert gate.value > plan.config.parity_error  # it is half precision indeed
        strict = dataclasses.replace(plan.config, half_error=plan.config.parity_error)
        refused = check_item_tower(model, reference, tokenizer, texts, strict)
        assert not any(gate.passed for gate in refused)
        found = model("serving_default", text=np.array([], object))["embedding"]
        assert found.dtype == np.float32
        assert found.shape == (0, plan.trained.config.dim)


def test_the_contract_and_the_ops_are_the_same(half) -> None:
    plan, folder = half
    dim, k_max = plan.trained.config.dim, plan.k_max
    assert check_signatures("item_tower", folder, dim=dim, k_max=k_max).passed
    assert check_ops("item_tower", folder).passed


def test_the_layers_weigh_half(half) -> None:
    """Two bytes a number: the tensors of the largest matrices, read from the graph."""
    plan, folder = half
    config = plan.encoder.config
    shards = plan.config.encoder_shards
    inner = [config.hidden_size, config.intermediate_size // shards]
    graph = read_proto(folder).meta_graphs[0].graph_def
    tensors = [
        node.attr["value"].tensor
        for function in graph.library.function
        for node in function.node_def
        if node.op == "Const"
    ]
    layers = [
        tensor
        for tensor in tensors
        if [dim.size for dim in tensor.tensor_shape.dim] in (inner, inner[::-1])
    ]
    copies = plan.config.encoder_copies * shards
    # the inner and the outer matrix, and the table of places, which is as large here
    assert config.max_position_embeddings == config.hidden_size == inner[1]
    assert len(layers) == 2 * config.num_hidden_layers * copies + 1
    for tensor in layers:
        assert len(tensor.tensor_content) == 2 * inner[0] * inner[1]
