"""config.yaml: its shape (``model``), its loading (``load``) and its documentation (``template``, ``show``)."""
