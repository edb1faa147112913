"""Balance over several attributes, and for pictures taken out of a batch, against an oracle that adds by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

GENDER = {"woman": Fraction(1, 2), "man": Fraction(1, 2)}
TONE = {"light": Fraction(1, 3), "medium": Fraction(1, 3), "dark": Fraction(1, 3)}


@pytest.fixture(scope="module")
def tone(pack, module):
    """A RESPO_MODULE with the concepts light, medium and dark, for the same model."""
    concepts = {}
    for seed, name in enumerate(TONE):
        concepts[name] = pack.core.module.concept.ConceptModule(128, 4, 4)
        for parameter in concepts[name].parameters():
            parameter.data.normal_(0, 0.5, generator=torch.Generator().manual_seed(10 + seed))
    return replace(module, attribute=replace(module.attribute, name="skin tone", concepts=concepts), sha256="7" * 64)


@pytest.fixture
def balance(run_node, model, module):
    """balance(…) -> what Balance gives: MODEL and labels."""
    return lambda **given: run_node("RespoBalance", **{"model": model, "module": module, **given})


@pytest.fixture
def both(balance, tone):
    """The same with a second attribute."""
    return lambda **given: balance(**{"module_2": tone, **given})


@pytest.fixture
def jointly(pack):
    """jointly(seed, images) -> the combinations of gender and tone that these images should get."""
    return lambda seed, images: pack.core.counting.joint.assign_jointly(seed, images, [GENDER, TONE])


def oracle(cells, *attributes, scales=(1.0, 1.0)):
    """An addition: each image's concepts of all attributes, by hand."""

    def addition(place):
        deltas = [
            own.attribute.concept(name).delta(*place.size, strength=by)
            for own, name, by in zip(attributes, cells[place.image], scales, strict=True)
        ]
        return sum(deltas).detach() if place.chunk == 0 else None

    return addition


def close(a, b):
    """Sums of several deltas are rounded in another order by hand."""
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_each_image_gets_both_concepts(both, sample, by_hand, model, module, tone, jointly):
    cells = jointly(6, range(6))
    assert len(set(cells)) == 6
    with by_hand(model, oracle(cells, module, tone)) as expected:
        wanted = sample(expected, count=6)
    patched, labels = both(seed=6, count=6)
    assert close(sample(patched, count=6), wanted)
    assert not close(sample(model, count=6), wanted)
    assert labels == "\n".join(", ".join(cell) for cell in cells)


def test_scales_and_strength_multiply(both, sample, by_hand, model, module, tone, jointly):
    with by_hand(model, oracle(jointly(0, range(3)), module, tone, scales=(0.6, 0.5))) as expected:
        wanted = sample(expected, count=3)
    assert close(sample(both(scale=1.2, scale_2=1.0, strength=0.5)[0], count=3), wanted)


def test_three_attributes(both, sample, tone, pack):
    third = replace(tone, attribute=replace(tone.attribute, concepts=renamed(tone)))
    patched, labels = both(module_3=third, count=12, distribution_3="pale 1, deep 1")
    counts = Counter(labels.splitlines())
    assert len(counts) == 12  # 2 x 3 x 2
    assert not torch.equal(sample(patched), sample(both()[0]))


def renamed(tone):
    """The same concepts under other names."""
    return dict(zip(("pale", "olive", "deep"), tone.attribute.concepts.values(), strict=True))


def test_distribution_of_the_second(both):
    _, labels = both(count=8, distribution="woman 3, man 1", distribution_2="dark 1, light 1")
    assert Counter(labels.splitlines()) == {
        "woman, dark": 3,
        "woman, light": 3,
        "man, dark": 1,
        "man, light": 1,
    }


def test_alone_nothing_has_changed(balance, pack):
    _, labels = balance(seed=3, count=9)
    assert labels.splitlines() == pack.core.counting.balance.assign(3, 9, GENDER)


def test_face_counts_each_attribute(both):
    shown = both(count=6).ui
    assert shown["text"][0].splitlines() == ["6 pictures: woman 3, man 3", "light 2, medium 2, dark 2"]
    assert shown["respo_counts"] == [[("woman", 3), ("man", 3)], [("light", 2), ("medium", 2), ("dark", 2)]]


def test_off_is_the_same_object(both, model):
    for given in ({"enabled": False}, {"strength": 0.0}, {"scale": 0.0, "scale_2": 0.0}, {"start_percent": 1.0}):
        patched, labels = both(**given)
        assert patched is model
        assert labels == ""


def test_scale_0_leaves_an_attribute_out(both, balance, sample):
    patched, labels = both(scale_2=0.0, seed=5, count=4)
    alone, wanted = balance(seed=5, count=4)
    assert labels == wanted
    assert torch.equal(sample(patched, count=4), sample(alone, count=4))


def test_order_of_two_balances_does_not_matter(balance, tone, sample):
    one = balance(model=balance(module=tone, seed=1)[0], seed=2)[0]
    other = balance(model=balance(seed=2)[0], module=tone, seed=1)[0]
    assert torch.equal(sample(one, count=3), sample(other, count=3))


def test_latent_says_how_many(balance):
    latent = {"samples": torch.zeros(5, 4, 16, 16)}
    assert balance(latent=latent, count=2, seed=9)[1] == balance(count=5, seed=9)[1]


def test_pictures_taken_out_of_a_batch_keep_their_concepts(both, host, sample, module, tone, by_hand, model, jointly):
    (latent,) = host.nodes.LatentFromBatch().frombatch({"samples": torch.zeros(6, 4, 16, 16)}, 3, 2)
    cells = jointly(1, [3, 4])
    patched, labels = both(latent=latent, seed=1)
    assert labels == "\n".join(", ".join(cell) for cell in cells)
    assert cells != jointly(1, range(2))
    with by_hand(model, oracle(cells, module, tone)) as expected:
        wanted = sample(expected, count=2)
    assert close(sample(patched, count=2), wanted)
    assert torch.equal(sample(patched, count=3), sample(both(seed=1)[0], count=3))  # another batch: by place


def test_refuses_the_same_concept_twice(balance, module, pack):
    with pytest.raises(pack.core.errors.RespoError, match="'woman' twice"):
        balance(module_2=module)


def test_refuses_what_does_not_repeat(both, pack):
    with pytest.raises(pack.core.errors.RespoError, match="within 10000 images"):
        both(distribution="woman 501, man 499", distribution_2="dark 501, light 499")


def test_second_module_must_fit_the_model(both, make_model, tone, pack):
    other = replace(tone.attribute, architecture=replace(tone.attribute.architecture, context_dim=24))
    with pytest.raises(pack.core.errors.ArchitectureMismatch):
        both(module_2=replace(tone, attribute=other))


def test_unknown_concept_of_the_second(both, pack):
    with pytest.raises(pack.core.errors.UnknownConcept, match="light, medium, dark"):
        both(distribution_2="woman 1")


@pytest.mark.parametrize("scale", [float("nan"), 1e308])
def test_scales_that_are_no_numbers(both, pack, scale):
    with pytest.raises(pack.core.errors.RespoError, match="scale_2"):
        both(scale_2=scale)


def test_safety_is_not_brought_back(both, module, pack):
    safety = replace(module, attribute=replace(module.attribute, purpose="safety"))
    with pytest.raises(pack.core.errors.RespoError, match="brings"):
        both(module=safety, strength=-1.0)


def test_follows_the_seed_of_the_sampler(balance, sample):
    """The host's sampler runs with seed 5 here; a detailer's pass over a single picture has the seed of its own."""
    following, labels = balance(seed=0, count=3, seed_from="the sampler")
    fixed, own = balance(seed=5, count=3)
    assert torch.equal(sample(following, count=3), sample(fixed, count=3))
    assert labels == balance(seed=0, count=3)[1] != own
    assert "labels are those of seed 0" in balance(seed=0, count=3, seed_from="the sampler").ui["text"][0]


def test_a_run_without_noise_has_no_seed_to_follow(balance, host, prompt, pack):
    """The host's Disable Noise comes with the seed 0, whatever the first pass had."""
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    for seed, refused in ((0, True), (4, False)):
        run = lambda model, seed=seed: host.nodes.common_ksampler(  # noqa: E731
            model, seed, 2, 3.0, "euler", "normal", prompt(1), prompt(2), latent, disable_noise=True
        )
        run(balance()[0])
        if refused:
            with pytest.raises(pack.core.errors.RespoError, match="adds no noise and has no seed"):
                run(balance(seed_from="the sampler")[0])
        else:
            run(balance(seed_from="the sampler")[0])


def test_labels_that_are_given(balance, both, sample, model, module, by_hand, pack):
    lines = ["man", "-", "woman"]
    patched, labels = balance(labels="\n".join(lines))
    assert labels == "\n".join(lines)

    def addition(place):
        name = lines[place.image]
        return module.attribute.concept(name).delta(*place.size).detach() if place.chunk == 0 and name != "-" else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected, count=3)
    assert close(sample(patched, count=3), wanted)
    assert torch.equal(sample(patched, count=3)[1], sample(model, count=3)[1])
    with pytest.raises(pack.core.errors.RespoError, match="given 3 labels, but 2 pictures"):
        sample(patched, count=2)
    shown = both(labels="woman, dark\n-\nman, dark").ui["text"][0]
    assert shown.splitlines()[:3] == ["3 pictures: woman 1, man 1", "dark 2", "1 left as the model draws them"]


def test_a_batch_that_is_all_one_picture_says_so(balance):
    same = {"samples": torch.zeros(3, 4, 16, 16), "batch_index": [2, 2, 2]}
    assert "all 3 pictures have the batch index 2" in balance(latent=same).ui["text"][0]
    assert "all 3" not in balance(latent={"samples": torch.zeros(3, 4, 16, 16)}).ui["text"][0]
    assert "all 3" not in balance(latent=same, labels="woman\nman\nman").ui["text"][0]


def test_a_picture_drawn_alone_is_not_given_the_first_ones_concept_in_silence(balance, sample, caplog):
    """What a detailer does; saved graphs draw what they drew, but the console says how to mend it."""
    sample(balance(count=8)[0], count=8)
    sample(balance(count=1)[0], count=1)
    sample(balance(count=8, seed_from="the sampler")[0], count=1)
    assert "expects 8 pictures" not in caplog.text
    sample(balance(count=8)[0], count=1)
    assert caplog.text.count("expects 8 pictures, but this one is drawn alone") == 1


def made_for(module, **training):
    """The same module with other metadata."""
    return replace(module, attribute=replace(module.attribute, training=training))


@pytest.mark.parametrize(
    ("training", "halves"),
    [({"half": "both", "imported": {}}, 2), ({"half": "cond", "imported": {}}, 1), ({"half": "both"}, 1)],
)
def test_an_imported_modules_half_of_guidance(balance, sample, by_hand, model, module, training, halves):
    """Modules that we trained keep the conditional half, as saved workflows draw it."""
    cells = [(name,) for name in balance()[1].splitlines() * 2]

    def addition(place):
        return module.attribute.concept(cells[0][0]).delta(*place.size).detach() if place.chunk < halves else None

    with by_hand(model, addition) as expected:
        wanted = sample(expected, count=1)
    assert close(sample(balance(module=made_for(module, **training))[0], count=1), wanted)
