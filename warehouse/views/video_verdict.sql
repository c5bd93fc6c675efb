-- A logarithmic opinion pool: the mean probabilities of face and voice, each to the power of its weight. A modality
-- weighs what its guess is worth: the measured share of right ones among its model's verdicts of each expression,
-- averaged by the probabilities. A model of unknown reliability counts as one that guesses.
WITH newest AS (
    SELECT video_id, step, model_id, arg_max(config_id, committed_at) AS config_id
    FROM steps
    WHERE step IN ('face_emotions', 'voice_emotions')
    GROUP BY ALL
),
face_rows AS (
    SELECT video_id, model_id, floor(ts_s / 10)::BIGINT * 10 AS from_s, track_id,
           angry, disgust, fear, happy, sad, surprise, neutral
    FROM face_emotions JOIN newest USING (video_id, model_id, config_id)
    WHERE step = 'face_emotions'
),
voice_rows AS (
    SELECT video_id, model_id, floor((t0_s + t1_s) / 20)::BIGINT * 10 AS from_s,  -- by the window's middle
           angry, disgust, fear, happy, sad, surprise, neutral
    FROM voice_emotions
    JOIN newest USING (video_id, model_id, config_id)
    JOIN audio_windows USING (video_id, config_id, window_id)
    WHERE step = 'voice_emotions' AND label IS NOT NULL
),
-- from_s NULL is the whole video
faces AS (
    SELECT video_id, model_id, from_s, count(DISTINCT track_id) AS num_people, any_value(track_id) AS track_id,
           [avg(angry), avg(disgust), avg(fear), avg(happy), avg(sad), avg(surprise), avg(neutral)] AS mean
    FROM face_rows
    GROUP BY GROUPING SETS ((video_id, model_id), (video_id, model_id, from_s))
),
voices AS (
    SELECT video_id, model_id, from_s,
           [avg(angry), avg(disgust), avg(fear), avg(happy), avg(sad), avg(surprise), avg(neutral)] AS mean
    FROM voice_rows
    GROUP BY GROUPING SETS ((video_id, model_id), (video_id, model_id, from_s))
),
pairs AS (
    SELECT coalesce(face.video_id, voice.video_id) AS video_id,
           face.model_id AS face_model_id, voice.model_id AS voice_model_id
    FROM (SELECT * FROM newest WHERE step = 'face_emotions') AS face
    FULL JOIN (SELECT * FROM newest WHERE step = 'voice_emotions') AS voice ON face.video_id = voice.video_id
),
stretches AS (
    SELECT pairs.*, NULL AS from_s FROM pairs
    UNION
    SELECT pairs.*, faces.from_s
    FROM pairs JOIN faces ON faces.video_id = pairs.video_id AND faces.model_id = pairs.face_model_id
    UNION
    SELECT pairs.*, voices.from_s
    FROM pairs JOIN voices ON voices.video_id = pairs.video_id AND voices.model_id = pairs.voice_model_id
),
reliabilities AS (
    SELECT model_id,
           list_transform(['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'],
               lambda label: coalesce(json_extract(reliability, '$.' || label)::DOUBLE, 1 / 7)) AS of_label
    FROM models
),
heard_and_seen AS (
    SELECT stretches.*, faces.mean AS face, voices.mean AS voice,
           coalesce(list_dot_product(faces.mean, face_model.of_label), 0) AS face_worth,
           coalesce(list_dot_product(voices.mean, voice_model.of_label), 0) AS voice_worth,
           CASE WHEN stretches.from_s IS NOT NULL AND voices.mean IS NOT NULL AND faces.num_people = 1
                THEN faces.track_id END AS track_id
    FROM stretches
    LEFT JOIN faces ON faces.video_id = stretches.video_id AND faces.model_id = stretches.face_model_id
        AND faces.from_s IS NOT DISTINCT FROM stretches.from_s
    LEFT JOIN voices ON voices.video_id = stretches.video_id AND voices.model_id = stretches.voice_model_id
        AND voices.from_s IS NOT DISTINCT FROM stretches.from_s
    LEFT JOIN reliabilities AS face_model ON face_model.model_id = stretches.face_model_id
    LEFT JOIN reliabilities AS voice_model ON voice_model.model_id = stretches.voice_model_id
),
weighed AS (
    SELECT *, face_worth / nullif(face_worth + voice_worth, 0) AS face_weight,
           voice_worth / nullif(face_worth + voice_worth, 0) AS voice_weight
    FROM heard_and_seen
),
pooled AS (
    SELECT *, list_transform(range(1, 8), lambda i:
               exp(coalesce(face_weight * ln(greatest(face[i], 1e-6)), 0)
                   + coalesce(voice_weight * ln(greatest(voice[i], 1e-6)), 0))) AS powers
    FROM weighed
),
final AS (
    SELECT videos.video_id, videos.path, from_s, face_model_id, voice_model_id,
           ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'][
               list_position(face, list_max(face))] AS face_emotion,
           list_max(face) AS face_confidence,
           ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'][
               list_position(voice, list_max(voice))] AS voice_emotion,
           list_max(voice) AS voice_confidence,
           CASE WHEN face_weight IS NOT NULL THEN ['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'][
               list_position(powers, list_max(powers))] END AS emotion,
           CASE WHEN face_weight IS NOT NULL THEN list_max(powers) / list_sum(powers) END AS confidence,
           CASE WHEN face IS NOT NULL AND voice IS NOT NULL THEN 'face and voice'
                WHEN face IS NOT NULL THEN 'face' WHEN voice IS NOT NULL THEN 'voice' ELSE 'none' END AS rests_on,
           coalesce(face_weight, 0) AS face_weight, coalesce(voice_weight, 0) AS voice_weight,
           track_id
    FROM pooled JOIN videos USING (video_id)
)
SELECT * FROM final
