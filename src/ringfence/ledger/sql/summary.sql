-- SPDX-License-Identifier: Apache-2.0
-- The largest lines of one question over some rows, and one line for the rest of them, whose value is null.
-- Braces hold the question's expressions (value, detail, sketch); `seen` is a table of the rows.
WITH asked AS (
    SELECT *, {value} AS value, {detail} AS detail
    FROM seen
    WHERE part BETWEEN $first AND $last
),
lines AS MATERIALIZED (
    SELECT
        value, detail, sum(attempts)::BIGINT AS attempts, sum(rows)::BIGINT AS rows,
        min(time_us) AS first_us, max(time_us) AS last_us, bool_or(is_proven) AS is_proven,
        max(callee) AS example
    FROM asked
    GROUP BY value, detail
),
kept AS MATERIALIZED (SELECT * FROM lines ORDER BY attempts DESC, value, detail LIMIT $most),
others AS (
    SELECT a.value, a.detail, {sketch} AS others
    FROM asked a SEMI JOIN kept k ON k.value = a.value AND k.detail = a.detail
    GROUP BY a.value, a.detail
),
least AS (SELECT CASE WHEN (SELECT count(*) FROM lines) > $most THEN min(attempts) ELSE 0 END AS least FROM kept),
everything AS (SELECT sum(attempts) AS attempts, sum(rows) AS rows FROM lines),
named AS (SELECT sum(attempts) AS attempts, sum(rows) AS rows FROM kept)
SELECT
    $question AS question, $part::SMALLINT AS part, value, detail, attempts, rows, first_us, last_us,
    is_proven, example, least, others
FROM kept JOIN others USING (value, detail), least
UNION ALL
SELECT
    $question, $part::SMALLINT, NULL, NULL, (e.attempts - n.attempts)::BIGINT, (e.rows - n.rows)::BIGINT,
    NULL, NULL, false, NULL, least, []
FROM everything e, named n, least
WHERE e.attempts > n.attempts
