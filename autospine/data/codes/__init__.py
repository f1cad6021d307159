"""What structures are called: codes of anatomy, and a colour each."""
