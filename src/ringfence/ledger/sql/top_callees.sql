-- SPDX-License-Identifier: Apache-2.0
-- What they dial most. `rows` in braces is the relation of rows that match.
SELECT
    "calleeAccessE164" AS callee,
    sum(attempts) AS attempts,
    count(*) AS rows,
    count(DISTINCT callerip) AS sources,
    min(recorded_at) AS first_seen,
    max(recorded_at) AS last_seen
FROM {rows} AS r
GROUP BY "calleeAccessE164"
ORDER BY attempts DESC, callee
LIMIT $limit
