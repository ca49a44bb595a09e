-- SPDX-License-Identifier: Apache-2.0
-- Who tries most. `rows` in braces is the relation of rows that match.
SELECT
    callerip AS source,
    sum(attempts) AS attempts,
    count(*) AS rows,
    count(DISTINCT "calleeAccessE164") AS numbers,
    min(recorded_at) AS first_seen,
    max(recorded_at) AS last_seen
FROM {rows} AS r
GROUP BY callerip
ORDER BY attempts DESC, source
LIMIT $limit
