WITH newest AS (
    SELECT video_id, arg_max(config_id, committed_at) AS config_id
    FROM steps
    WHERE step = 'faces'
    GROUP BY video_id
),
-- a model that has seen older faces alone is not compared: it judged others
judged AS (
    SELECT video_id, config_id, model_id
    FROM steps JOIN newest USING (video_id, config_id)
    WHERE step = 'face_emotions'
),
counted AS (
    SELECT video_id, config_id, model_id, label, sum(num_faces)::BIGINT AS faces_of_label,
           sum(num_faces * angry) AS angry, sum(num_faces * disgust) AS disgust, sum(num_faces * fear) AS fear,
           sum(num_faces * happy) AS happy, sum(num_faces * sad) AS sad, sum(num_faces * surprise) AS surprise,
           sum(num_faces * neutral) AS neutral
    FROM face_tallies
    GROUP BY ALL
),
-- ties go to the higher mean probability over all faces of the video
ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY video_id, config_id, model_id ORDER BY faces_of_label DESC, probability DESC, label
    ) AS place
    FROM (
        SELECT *, CASE label
            WHEN 'angry' THEN sum(angry) OVER video WHEN 'disgust' THEN sum(disgust) OVER video
            WHEN 'fear' THEN sum(fear) OVER video WHEN 'happy' THEN sum(happy) OVER video
            WHEN 'sad' THEN sum(sad) OVER video WHEN 'surprise' THEN sum(surprise) OVER video
            ELSE sum(neutral) OVER video END AS probability
        FROM counted
        WINDOW video AS (PARTITION BY video_id, config_id, model_id)
    )
),
verdicts AS (
    SELECT video_id, config_id, model_id, sum(faces_of_label) AS num_faces,
           max(label) FILTER (place = 1) AS dominant_emotion,
           map_from_entries(list({'k': label, 'v': faces_of_label})) AS faces_of
    FROM ranked
    GROUP BY ALL
),
-- LEFT: a video without faces has verdicts too, of NULL
by_model AS MATERIALIZED (
    SELECT video_id, model_id, coalesce(num_faces, 0)::BIGINT AS num_faces, dominant_emotion,
           faces_of[dominant_emotion] / num_faces AS dominant_share,
           list_transform(['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'],
                          lambda label: coalesce(faces_of[label], 0) / num_faces) AS shares
    FROM judged LEFT JOIN verdicts USING (video_id, config_id, model_id)
),
final AS (
    SELECT a.video_id, videos.path, a.model_id AS model_a, b.model_id AS model_b,
           a.dominant_emotion AS dominant_a, b.dominant_emotion AS dominant_b,
           a.dominant_emotion IS DISTINCT FROM b.dominant_emotion AS has_changed,
           a.dominant_share AS share_a, b.dominant_share AS share_b,
           -- total variation: the share of faces that would have to change their label
           list_sum(list_transform(range(1, 8), lambda i: abs(a.shares[i] - b.shares[i]))) / 2 AS distance,
           a.num_faces
    FROM by_model AS a
    JOIN by_model AS b ON a.video_id = b.video_id AND a.model_id < b.model_id
    JOIN videos ON videos.video_id = a.video_id
)
SELECT * FROM final
