-- what failed and was not analysed since, by content, or by path where the bytes could not be read
WITH held AS (
    SELECT path, arg_max(video_id, seen_at) AS video_id, max(seen_at) AS seen_at
    FROM sightings
    GROUP BY path
),
commits AS (
    SELECT video_id, max(committed_at) AS last_at,
           -- a rerun says nothing about what a night could not do
           max(committed_at) FILTER (flow <> 'rerun') AS last_of_night_at
    FROM steps JOIN runs USING (run_id)
    GROUP BY video_id
),
pardoned AS (
    SELECT coalesce(video_id, path) AS content, max(pardoned_at) AS last_at
    FROM pardons
    GROUP BY ALL
),
attempts AS (
    SELECT failures.*, coalesce(video_id, path) AS content, flow, code_version
    FROM failures JOIN runs USING (run_id)
),
still_open AS (
    SELECT attempts.*, failed_at > coalesce(pardoned.last_at, '-infinity'::TIMESTAMPTZ) AS is_held_against
    FROM attempts
    LEFT JOIN commits ON commits.video_id = attempts.video_id
    LEFT JOIN pardoned USING (content)
    -- a path that could be read later has another entry, if any; so has one that holds other bytes now
    LEFT JOIN held ON attempts.video_id IS NULL AND held.path = attempts.path AND held.seen_at > failed_at
    WHERE held.path IS NULL AND (attempts.video_id IS NULL OR attempts.video_id IN (SELECT video_id FROM held))
        AND coalesce(if(flow = 'rerun', commits.last_at, commits.last_of_night_at) < failed_at, true)
),
final AS (
    SELECT any_value(video_id) AS video_id, flow,
           arg_max(path, failed_at) AS path, arg_max(reason, failed_at) AS reason,
           arg_max(message, failed_at) AS message, arg_max(stage, failed_at) AS stage,
           count(*) AS num_attempts, count(DISTINCT run_id) AS num_nights,
           min(failed_at) AS first_failed_at, max(failed_at) AS last_failed_at,
           -- no longer tried after three failed nights; a file that somebody was still writing has not failed
           count(DISTINCT run_id) FILTER (is_held_against AND reason <> 'changed') >= 3 AS is_quarantined,
           -- the program's version under which it is not tried again either
           arg_max(code_version, failed_at) FILTER (is_held_against AND NOT retryable) AS hopeless_under
    FROM still_open
    GROUP BY content, flow
)
SELECT * FROM final
