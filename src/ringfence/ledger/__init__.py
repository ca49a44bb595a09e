# SPDX-License-Identifier: Apache-2.0
"""The ledger: journal frames become call detail records, and stay findable.

Frames are read from the two journal streams (`frames`), held while they may still change (`tail`), folded
into rows by one SQL text (`sql/rows.sql`), sealed into Parquet segments (`segments`) that one manifest lists
(`manifest`), and asked for through `store`. Rows are a pure function of frames: the ledger can be thrown away
and built again.
"""
