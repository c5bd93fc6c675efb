WITH newest AS (
    SELECT video_id, model_id, arg_max(config_id, committed_at) AS config_id
    FROM steps
    WHERE step = 'face_emotions'
    GROUP BY video_id, model_id
),
seconds AS (
    SELECT video_id, model_id, floor(ts_s)::BIGINT AS second,
           avg(angry) AS angry, avg(disgust) AS disgust, avg(fear) AS fear, avg(happy) AS happy, avg(sad) AS sad,
           avg(surprise) AS surprise, avg(neutral) AS neutral, count(*) AS num_faces
    FROM face_emotions JOIN newest USING (video_id, model_id, config_id)
    GROUP BY ALL
),
final AS (
    SELECT video_id, model_id, second,
           -- the most probable on average; of equals the first in the order of the labels
           ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'][
               list_position([angry, disgust, fear, happy, sad, surprise, neutral],
                             greatest(angry, disgust, fear, happy, sad, surprise, neutral))] AS label,
           angry, disgust, fear, happy, sad, surprise, neutral, num_faces
    FROM seconds
)
SELECT * FROM final
