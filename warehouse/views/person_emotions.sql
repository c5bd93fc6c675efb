WITH newest AS (
    SELECT video_id, model_id, arg_max(config_id, committed_at) AS config_id
    FROM steps
    WHERE step = 'face_emotions'
    GROUP BY video_id, model_id
),
counted AS (
    SELECT face_tallies.*
    FROM face_tallies JOIN newest USING (video_id, model_id, config_id)
),
persons AS (
    SELECT video_id, track_id, model_id, min(first_s) AS first_s, max(last_s) AS last_s,
           sum(num_faces)::BIGINT AS num_faces,
           map(['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'],
               [sum(num_faces * angry), sum(num_faces * disgust), sum(num_faces * fear), sum(num_faces * happy),
                sum(num_faces * sad), sum(num_faces * surprise), sum(num_faces * neutral)]) AS probability
    FROM counted
    GROUP BY ALL
),
ranked AS (
    SELECT video_id, track_id, model_id, label, counted.num_faces AS faces_of_label, persons.num_faces,
           persons.first_s, persons.last_s,
           row_number() OVER (
               PARTITION BY video_id, track_id, model_id
               ORDER BY counted.num_faces DESC, probability[label] DESC, label
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
