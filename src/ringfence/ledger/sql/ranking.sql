-- SPDX-License-Identifier: Apache-2.0
-- The lines with most attempts, put together from summaries and rows; each with the figures of the whole.
-- `lines` in braces is the relation of lines. A line that is missing from a summary whose lines were cut has at
-- most `least` attempts more for it.
WITH merged AS MATERIALIZED (
    SELECT
        value, detail, sum(attempts)::BIGINT AS attempts, sum(rows)::BIGINT AS rows,
        min(first_us) AS first_us, max(last_us) AS last_us, bool_or(is_proven) AS is_proven,
        max(example) AS example, sum(least)::BIGINT AS known
    FROM {lines} AS l
    GROUP BY value, detail
),
top AS MATERIALIZED (
    SELECT * FROM merged WHERE value IS NOT NULL ORDER BY attempts DESC, value, detail LIMIT $limit
),
whole AS (
    SELECT
        coalesce(sum(attempts), 0)::BIGINT AS attempts,
        coalesce(sum(rows), 0)::BIGINT AS rows,
        coalesce(sum(known) FILTER (value IS NULL), 0)::BIGINT AS cut,
        count(*) FILTER (value IS NOT NULL) AS lines
    FROM merged
),
hidden AS (
    SELECT coalesce(max(m.attempts - m.known), 0)::BIGINT AS most
    FROM merged m ANTI JOIN top t ON t.value = m.value AND t.detail = m.detail
    WHERE m.value IS NOT NULL AND (SELECT cut FROM whole) > 0
)
SELECT
    whole.attempts, whole.rows, whole.cut, whole.lines, hidden.most,
    top.value, top.detail, top.attempts, top.rows, top.first_us, top.last_us, top.is_proven, top.example,
    top.known
FROM whole CROSS JOIN hidden LEFT JOIN top ON true
ORDER BY top.attempts DESC, top.value, top.detail
