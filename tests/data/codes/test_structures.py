from __future__ import annotations

import pytest

from autospine.data.codes.structures import OWN_SCHEME, known_codes, levels_named, place_in_spine, structures_of


def the_one(name: str):  # type: ignore[no-untyped-def]
    return structures_of([(name, 1)])[0]


@pytest.mark.parametrize(
    "name, code, meaning",
    [
        ("L5", "49668003", "L5 vertebra"),
        ("vertebra_L5", "49668003", "L5 vertebra"),
        ("vertebraeL5", "49668003", "L5 vertebra"),
        ("Th12", "23215003", "T12 vertebra"),
        ("vertebrae_C1", "14806007", "C1 vertebra"),
        ("L6", "51282000", "Vertebra"),
        ("disc L4/L5", "84020006", "L4/L5 disc"),
        ("L4-L5", "84020006", "L4/L5 disc"),
        ("L45", "84020006", "L4/L5 disc"),
        ("IVD_L4-5", "84020006", "L4/L5 disc"),
        ("disk_L5S1", "715056000", "L5/S1 disc"),
        ("T12_L1", "76206002", "T12/L1 disc"),
        ("spinal_cord", "2748008", "Spinal cord"),
        ("SpinalCanal", "61853006", "Vertebral canal"),
        ("white matter", "27088001", "Spinal cord white matter"),
        ("right ES", "44947003", "Erector spinae muscle"),
        ("lytic lesion", "52988006", "Lesion"),
    ],
)
def test_structures_are_known_as_users_spell_them(name: str, code: str, meaning: str) -> None:
    found = the_one(name)
    assert (found.type.scheme, found.type.value, found.type.meaning) == ("SCT", code, meaning)
    assert found.known and found.name == name


def test_sides_and_levels_of_parts_are_said_beside_the_structure() -> None:
    assert the_one("erector_spinae_R").side.meaning == "Right"
    assert the_one("left MF").side.meaning == "Left"
    assert the_one("L5").side is None
    part = the_one("L3 spinous process")
    assert (part.type.meaning, part.region.meaning) == ("Spinous process of vertebra", "L3 vertebra")
    assert the_one("L2 lesion").region.meaning == "L2 vertebra"


@pytest.mark.parametrize("name", ["T1 lesion", "L5 disc"])
def test_a_level_that_may_mean_something_else_is_no_region(name: str) -> None:
    assert the_one(name).region is None


@pytest.mark.parametrize("name", ["upper", "L1 L3", "C1/C2", "label_5", "L2 something", "Würfel", ""])
def test_what_the_table_does_not_know_keeps_its_name(name: str) -> None:
    found = the_one(name)
    assert not found.known and found.type.scheme == OWN_SCHEME and found.type.meaning == (name or "unnamed")
    assert len(found.type.value) == 16 and found.type == the_one(name).type
    assert found.type.value != the_one(f"{name} x").type.value


def test_a_long_name_fits_a_code() -> None:
    assert len(the_one("a" * 400).type.meaning) == 64
    assert the_one("a\\b\nc").type.meaning == "a b c"


def test_codes_are_those_of_dicom() -> None:
    from pydicom.sr._concepts_dict import concepts

    shipped = {value for held in concepts["SCT"].values() for value in held}
    for code, source in known_codes():
        assert (source == "own") == (code.scheme == OWN_SCHEME), code
        assert source != "DICOM" or code.value in shipped, code
    elsewhere = {code.meaning for code, source in known_codes() if source == "HL7"}
    assert elsewhere == {"Body of vertebra", "Multifidus muscles", "Quadratus lumborum muscle"}


def test_levels_and_discs_have_the_meaning_of_their_code_in_dicom() -> None:
    from pydicom.sr.codedict import codes

    for level in [*(f"C{n}" for n in range(1, 8)), *(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 6))]:
        assert the_one(level).type.value == getattr(codes.SCT, f"{level}Vertebra").value
    for pair in (("C2", "C3"), ("C7", "T1"), ("T11", "T12"), ("T12", "L1"), ("L1", "L2"), ("L5", "S1")):
        assert the_one("/".join(pair)).type.value == getattr(codes.SCT, f"{''.join(pair)}Disc").value


def test_check_digits_of_snomed_codes_are_right() -> None:
    """By Verhoeff's scheme, which every SNOMED identifier ends with."""
    dihedral = [[0] * 10 for _ in range(10)]
    for a in range(10):
        for b in range(10):
            turn, step = a // 5, b // 5
            sign = -1 if turn else 1
            dihedral[a][b] = ((a % 5 + sign * (b % 5)) % 5) + 5 * (turn ^ step)
    permuted = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    for row in range(2, 8):
        permuted.append([permuted[row - 1][permuted[1][digit]] for digit in range(10)])
    for code, _ in known_codes():
        if code.scheme == "SCT":
            check = 0
            for place, digit in enumerate(reversed(code.value)):
                check = dihedral[check][permuted[place % 8][int(digit)]]
            assert check == 0, code


def test_colours_are_those_of_the_structure_and_distinct_in_a_model() -> None:
    names = [*(f"L{n}" for n in range(1, 6)), *(f"T{n}" for n in range(1, 13)), "L5 body", "disc", "canal", "left ES"]
    names += ["right ES", "upper", "lower", "cord", "lesion", "vertebra L5"]
    colours = [one.colour for one in structures_of([(name, value) for value, name in enumerate(names, 1)])]
    assert len(set(colours)) == len(colours)
    assert the_one("L5").colour == colours[names.index("L5")] == the_one("vertebra_L5").colour
    assert all(0 <= part <= 255 for colour in colours for part in colour)


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("L5", ("l5",)),
        ("vertebrae_T12", ("t12",)),
        ("Vertebra Th4", ("t4",)),
        ("disc L4/L5", ("l4", "l5")),
        ("L5-S1", ("l5", "s1")),
        ("IVD_L4-5", ("l4", "l5")),
        ("L3 spinous process", ()),
        ("left L3", ()),
        ("sacrum", ()),
        ("L1 to L5", ()),
        ("L9", ()),
    ],
)
def test_whole_vertebrae_and_discs_say_their_levels(name: str, levels: tuple[str, ...]) -> None:
    assert levels_named(name) == levels


def test_levels_are_sorted_from_the_head_on() -> None:
    assert sorted(("l1", "t12", "c7", "s1", "t2"), key=place_in_spine) == ["c7", "t2", "t12", "l1", "s1"]
