"""The matrix: every backend × kinds of credentials × states of its store, through a running daemon.

``test_matrix.py`` has the tables, ``credentials.py`` says what a row sends, ``stores.py`` what a store's states are,
``measure.py`` fills a matrix.
"""
