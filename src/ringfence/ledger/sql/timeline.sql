-- SPDX-License-Identifier: Apache-2.0
-- Attempts per minute and kind, newest first. `rows` in braces is the relation of rows that match.
SELECT
    date_trunc('minute', recorded_at) AS minute,
    kind,
    sum(attempts) AS attempts,
    count(*) AS rows
FROM {rows} AS r
GROUP BY date_trunc('minute', recorded_at), kind
ORDER BY minute DESC, kind
LIMIT $limit
