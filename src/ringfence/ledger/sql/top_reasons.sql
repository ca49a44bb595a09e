-- SPDX-License-Identifier: Apache-2.0
-- Why they were refused. `rows` in braces is the relation of rows that match.
SELECT
    kind,
    reason,
    sum(attempts) AS attempts,
    count(*) AS rows,
    count(DISTINCT callerip) AS sources
FROM {rows} AS r
GROUP BY kind, reason
ORDER BY attempts DESC, kind, reason
LIMIT $limit
