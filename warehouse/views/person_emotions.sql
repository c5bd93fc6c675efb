WITH newest AS (
    SELECT video_id, model_id, arg_max(config_id, committed_at) AS config_id
    FROM steps
    WHERE step = 'face_emotions'
    GROUP BY video_id, model_id
),
faces AS (
    SELECT face_emotions.*
    FROM face_emotions JOIN newest USING (video_id, model_id, config_id)
),
persons AS (
    SELECT video_id, track_id, model_id, min(ts_s) AS first_s, max(ts_s) AS last_s, count(*) AS num_faces,
           map(['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'],
               [avg(angry), avg(disgust), avg(fear), avg(happy), avg(sad), avg(surprise), avg(neutral)]) AS mean
    FROM faces
    GROUP BY ALL
),
counted AS (
    SELECT video_id, track_id, model_id, label, count(*) AS faces_of_label
    FROM faces
    GROUP BY ALL
),
ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY video_id, track_id, model_id ORDER BY faces_of_label DESC, mean[label] DESC, label
    ) AS place
    FROM counted JOIN persons USING (video_id, track_id, model_id)
),
final AS (
    SELECT video_id, track_id, model_id, label AS dominant_emotion, faces_of_label / num_faces AS dominant_share,
           first_s, last_s, num_faces
    FROM ranked
    WHERE place = 1
)
SELECT * FROM final
