from autospine.data.disk.tables import csv_text, write_table


def test_rows_are_cells_or_named():
    rows = [("a", 1.5), {"value": None, "name": 'says "b", twice'}]
    assert csv_text(("name", "value"), rows) == 'name,value\na,1.5\n"says ""b"", twice",\n'


def test_a_table_is_a_file(tmp_path):
    write_table(tmp_path / "sub" / "table.csv", ("case",), [("é",)])
    assert (tmp_path / "sub" / "table.csv").read_text(encoding="utf-8") == "case\né\n"
