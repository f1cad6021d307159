"""Arms of a study: one plan varied in one respect, trained on one split, compared and written down."""
