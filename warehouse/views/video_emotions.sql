WITH newest_faces AS (
    SELECT video_id, arg_max(config_id, committed_at) AS config_id
    FROM steps
    WHERE step = 'faces'
    GROUP BY video_id
),
newest_emotions AS (
    SELECT video_id, model_id, arg_max(config_id, committed_at) AS config_id
    FROM steps
    WHERE step = 'face_emotions'
    GROUP BY video_id, model_id
),
sampled AS (
    SELECT frames.video_id, frames.config_id, count(*) AS num_frames,
           -- a frame stands until the next one; the last as long as the one before it
           sum(stands_s) FILTER (num_faces > 0) AS seconds_with_face
    FROM (
        SELECT video_id, config_id, num_faces,
               coalesce(lead(ts_s) OVER clock - ts_s, ts_s - lag(ts_s) OVER clock, 0) AS stands_s
        FROM frames
        WINDOW clock AS (PARTITION BY video_id, config_id ORDER BY ts_s)
    ) AS frames
    GROUP BY ALL
),
counted AS (
    SELECT video_id, config_id, model_id, label, count(*) AS num_faces,
           avg(CASE label
               WHEN 'angry' THEN angry WHEN 'disgust' THEN disgust WHEN 'fear' THEN fear WHEN 'happy' THEN happy
               WHEN 'sad' THEN sad WHEN 'surprise' THEN surprise ELSE neutral END) AS confidence
    FROM face_emotions
    GROUP BY ALL
),
-- ties go to the higher mean probability over all faces of the video
means AS (
    SELECT video_id, config_id, model_id, count(*) AS num_faces, count(DISTINCT track_id) AS num_people,
           map(['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'],
               [avg(angry), avg(disgust), avg(fear), avg(happy), avg(sad), avg(surprise), avg(neutral)]) AS mean
    FROM face_emotions
    GROUP BY ALL
),
ranked AS (
    SELECT counted.*, row_number() OVER (
        PARTITION BY video_id, config_id, model_id ORDER BY counted.num_faces DESC, mean[label] DESC, label
    ) AS place
    FROM counted JOIN means USING (video_id, config_id, model_id)
),
dominant AS (
    SELECT video_id, config_id, model_id,
           max(label) FILTER (place = 1) AS dominant_emotion,
           max(num_faces) FILTER (place = 1) AS dominant_faces,
           max(confidence) FILTER (place = 1) AS confidence,
           map_from_entries(list({'k': label, 'v': num_faces})) AS faces_of
    FROM ranked
    GROUP BY ALL
),
final AS (
    SELECT videos.video_id, videos.path, newest_emotions.model_id,
           dominant.dominant_emotion,
           dominant.dominant_faces / means.num_faces AS dominant_share,
           dominant.confidence,
           coalesce(sampled.num_frames, 0) AS num_frames,
           coalesce(means.num_faces, 0) AS num_faces,
           coalesce(means.num_people, 0) AS num_people,
           coalesce(sampled.seconds_with_face, 0) AS seconds_with_face,
           coalesce(faces_of['angry'], 0) / means.num_faces AS share_angry,
           coalesce(faces_of['disgust'], 0) / means.num_faces AS share_disgust,
           coalesce(faces_of['fear'], 0) / means.num_faces AS share_fear,
           coalesce(faces_of['happy'], 0) / means.num_faces AS share_happy,
           coalesce(faces_of['sad'], 0) / means.num_faces AS share_sad,
           coalesce(faces_of['surprise'], 0) / means.num_faces AS share_surprise,
           coalesce(faces_of['neutral'], 0) / means.num_faces AS share_neutral
    FROM newest_emotions
    JOIN videos USING (video_id)
    LEFT JOIN newest_faces USING (video_id)
    LEFT JOIN sampled ON sampled.video_id = videos.video_id AND sampled.config_id = newest_faces.config_id
    LEFT JOIN means ON means.video_id = videos.video_id AND means.config_id = newest_emotions.config_id
        AND means.model_id = newest_emotions.model_id
    LEFT JOIN dominant ON dominant.video_id = videos.video_id AND dominant.config_id = newest_emotions.config_id
        AND dominant.model_id = newest_emotions.model_id
)
SELECT * FROM final
