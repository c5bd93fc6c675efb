WITH newest_emotions AS (
    SELECT video_id, model_id, arg_max(config_id, committed_at) AS config_id
    FROM steps
    WHERE step = 'face_emotions'
    GROUP BY video_id, model_id
),
counted AS (
    SELECT video_id, config_id, model_id, label, sum(num_faces)::BIGINT AS num_faces,
           sum(num_faces * CASE label
               WHEN 'angry' THEN angry WHEN 'disgust' THEN disgust WHEN 'fear' THEN fear WHEN 'happy' THEN happy
               WHEN 'sad' THEN sad WHEN 'surprise' THEN surprise ELSE neutral END) / sum(num_faces) AS confidence
    FROM face_tallies
    GROUP BY ALL
),
-- ties go to the higher mean probability over all faces of the video
sums AS (
    SELECT video_id, config_id, model_id,
           sum(num_faces)::BIGINT AS num_faces, count(DISTINCT track_id) AS num_people,
           map(['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'],
               [sum(num_faces * angry), sum(num_faces * disgust), sum(num_faces * fear), sum(num_faces * happy),
                sum(num_faces * sad), sum(num_faces * surprise), sum(num_faces * neutral)]) AS probability
    FROM face_tallies
    GROUP BY ALL
),
ranked AS (
    SELECT counted.*, row_number() OVER (
        PARTITION BY video_id, config_id, model_id ORDER BY counted.num_faces DESC, probability[label] DESC, label
    ) AS place
    FROM counted JOIN sums USING (video_id, config_id, model_id)
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
           dominant.dominant_faces / sums.num_faces AS dominant_share,
           dominant.confidence,
           coalesce(frame_tallies.num_frames, 0) AS num_frames,
           coalesce(sums.num_faces, 0) AS num_faces,
           coalesce(sums.num_people, 0) AS num_people,
           coalesce(frame_tallies.seconds_with_face, 0) AS seconds_with_face,
           coalesce(faces_of['angry'], 0) / sums.num_faces AS share_angry,
           coalesce(faces_of['disgust'], 0) / sums.num_faces AS share_disgust,
           coalesce(faces_of['fear'], 0) / sums.num_faces AS share_fear,
           coalesce(faces_of['happy'], 0) / sums.num_faces AS share_happy,
           coalesce(faces_of['sad'], 0) / sums.num_faces AS share_sad,
           coalesce(faces_of['surprise'], 0) / sums.num_faces AS share_surprise,
           coalesce(faces_of['neutral'], 0) / sums.num_faces AS share_neutral
    FROM newest_emotions
    JOIN videos USING (video_id)
    LEFT JOIN frame_tallies ON frame_tallies.video_id = videos.video_id
        AND frame_tallies.config_id = newest_emotions.config_id
    LEFT JOIN sums ON sums.video_id = videos.video_id AND sums.config_id = newest_emotions.config_id
        AND sums.model_id = newest_emotions.model_id
    LEFT JOIN dominant ON dominant.video_id = videos.video_id AND dominant.config_id = newest_emotions.config_id
        AND dominant.model_id = newest_emotions.model_id
)
SELECT * FROM final
