WITH reasons AS (
    SELECT run_id, reason, count(DISTINCT path) AS num_paths
    FROM failures
    GROUP BY ALL
),
failed AS (
    SELECT run_id, map_from_entries(list({'k': reason, 'v': num_paths} ORDER BY reason)) AS failures_by_reason
    FROM reasons
    GROUP BY run_id
),
analysed AS (
    SELECT steps.run_id, videos.video_id, any_value(videos.path) AS path,
           any_value(videos.duration_s) AS duration_s, max(steps.seconds) AS seconds,
           max(steps.committed_at) AS committed_at
    FROM steps JOIN videos USING (video_id)
    GROUP BY steps.run_id, videos.video_id
),
worked AS (
    SELECT run_id, sum(duration_s) AS video_seconds,
           -- from the first video's beginning to the last one's commit: the loading of networks is left out
           epoch(max(committed_at)) - min(epoch(committed_at) - seconds) AS working_seconds,
           list({'path': path, 'seconds': seconds} ORDER BY seconds DESC)[:5] AS slowest_videos
    FROM analysed
    GROUP BY run_id
),
final AS (
    SELECT runs.run_id, runs.flow, runs.state, runs.started_at, runs.finished_at,
           epoch(runs.finished_at - runs.started_at) AS seconds,
           runs.num_videos, runs.num_analysed, runs.num_skipped, runs.num_failed,
           failed.failures_by_reason,
           worked.video_seconds, worked.working_seconds,
           worked.video_seconds / nullif(worked.working_seconds, 0) AS times_real_time,
           worked.slowest_videos
    FROM runs
    LEFT JOIN failed USING (run_id)
    LEFT JOIN worked USING (run_id)
)
SELECT * FROM final
