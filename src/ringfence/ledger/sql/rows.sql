-- SPDX-License-Identifier: Apache-2.0
-- The one way from frames to rows: asked of the tail, used to seal and to rebuild.
-- Braces hold names of the tail's tables (attempts, increments, settles), window_us, how long a row may change,
-- decided, what leaves out challenges that may still be answered, and the literals journal_id and node. Sealing keeps
-- what `judged` gives and makes records of that.
WITH added AS (
    SELECT
        i.base_seq,
        sum(i.count) FILTER (i.why = 0) AS repeated,
        sum(i.count) FILTER (i.why <> 0) AS widened
    FROM {increments} i JOIN {attempts} a ON a.seq = i.base_seq
    WHERE i.time_us <= a.time_us + {window_us}
    GROUP BY i.base_seq
),
settled AS (
    SELECT s.settles, count(*) AS answers
    FROM {settles} s JOIN {attempts} a ON a.seq = s.settles
    WHERE a.kind = 3 AND s.time_us <= a.time_us + {window_us}
    GROUP BY s.settles
),
counted AS (
    SELECT
        a.*,
        a.kind = 3 AS is_challenge,
        coalesce(x.repeated, 0) AS repeated,
        -- A retransmission of a challenged request is answered together with it.
        1 + coalesce(x.widened, 0) - coalesce(s.answers, 0) AS standing
    FROM {attempts} a
    LEFT JOIN added x ON x.base_seq = a.seq
    LEFT JOIN settled s ON s.settles = a.seq
),
judged AS (
    SELECT
        c.* EXCLUDE (kind),
        CASE
            WHEN c.method <> 1 OR c.flags & 32 <> 0 THEN 'event'
            WHEN c.flags & 8 <> 0 THEN 'call'
            ELSE 'illegal'
        END AS kind,
        reason_of(c.reason) AS reason_name,
        q850_of(c.reason) AS q850_cause,
        end_reason_of(c.reason) AS own_end_reason,
        CASE WHEN c.method_text <> '' THEN c.method_text ELSE method_of(c.method) END AS method_name,
        transport_of(c.transport) AS transport_name,
        scope_of(c.scope) AS scope_name
    FROM counted c
    WHERE NOT c.is_challenge OR (c.standing > 0{decided})
)
SELECT
    caller AS "callerE164",
    caller AS "callerAccessE164",
    user_agent AS "callerProductId",
    '' AS "callerToGatewayE164",
    '' AS "callerGateway",
    source AS "callerip",
    callee AS "calleeE164",
    callee AS "calleeAccessE164",
    '' AS "calleeProductId",
    '' AS "calleeToGatewayE164",
    '' AS "calleeGateway",
    '' AS "calleeip",
    (time_us // 1000)::BIGINT AS "start",
    (time_us // 1000)::BIGINT AS "stop",
    0::INTEGER AS "holdTime",
    0::INTEGER AS "feeTime",
    0::DECIMAL(18,6) AS "fee",
    '' AS "feePrefix",
    0::DECIMAL(18,6) AS "suiteFee",
    0::INTEGER AS "suiteFeeTime",
    0::DECIMAL(18,6) AS "agentFee",
    0::INTEGER AS "agentFeeTime",
    '' AS "agentFeePrefix",
    0::DECIMAL(18,6) AS "agentSuiteFee",
    0::INTEGER AS "agentSuiteFeeTime",
    0::SMALLINT AS "callLevel",
    '' AS "account",
    '' AS "accountName",
    '' AS "agentAccount",
    '' AS "agentName",
    2::SMALLINT AS "endDirection",
    CASE kind WHEN 'illegal' THEN -9 WHEN 'event' THEN -10 ELSE own_end_reason END::SMALLINT AS "endReason",
    0::SMALLINT AS "calleeBilling",
    CASE
        WHEN kind = 'illegal' THEN -9
        WHEN kind = 'event' THEN -1
        WHEN gateway_id <> 0 THEN 1
        ELSE 0
    END::SMALLINT AS "billingMode",
    (seq * 2)::BIGINT AS "flowNo",
    {journal_id} AS journal_id,
    seq,
    make_timestamp(time_us::BIGINT) AS recorded_at,
    {node} AS node,
    kind,
    source_port,
    local AS local_address,
    local_port,
    transport_name AS transport,
    method_name AS method,
    user_agent,
    auth_user AS auth_number,
    call_id,
    '' AS callee_call_id,
    status AS sip_status,
    q850_cause::USMALLINT AS q850_cause,
    reason_name AS reason,
    detail,
    fingerprint,
    traits,
    (standing + repeated)::BIGINT AS attempts,
    scope_name AS scope,
    flags & 4 <> 0 AS proven,
    gateway_id,
    NULL::VARCHAR AS route_attempts,
    NULL::VARCHAR AS price_breakdown,
    raw,
    dialled_area
FROM judged
