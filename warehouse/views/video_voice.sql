WITH newest AS (
    SELECT video_id, model_id, arg_max(config_id, committed_at) AS config_id, arg_max(outcome, committed_at) AS sound
    FROM steps
    WHERE step = 'voice_emotions'
    GROUP BY video_id, model_id
),
spoken AS (
    SELECT video_id, config_id,
           -- windows overlap: their speech counts by the share of the time that they cover together
           sum(speech_share * (t1_s - t0_s)) * (max(t1_s) - min(t0_s)) / sum(t1_s - t0_s) AS seconds_of_speech
    FROM audio_windows
    GROUP BY ALL
),
heard AS (
    SELECT voice_emotions.*
    FROM voice_emotions JOIN newest USING (video_id, model_id, config_id)
    WHERE label IS NOT NULL
),
means AS (
    SELECT video_id, model_id, count(*) AS num_windows,
           map(['angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral'],
               [avg(angry), avg(disgust), avg(fear), avg(happy), avg(sad), avg(surprise), avg(neutral)]) AS mean
    FROM heard
    GROUP BY ALL
),
counted AS (
    SELECT video_id, model_id, label, count(*) AS windows_of_label,
           avg(CASE label
               WHEN 'angry' THEN angry WHEN 'disgust' THEN disgust WHEN 'fear' THEN fear WHEN 'happy' THEN happy
               WHEN 'sad' THEN sad WHEN 'surprise' THEN surprise ELSE neutral END) AS confidence
    FROM heard
    GROUP BY ALL
),
-- ties go to the higher mean probability over all windows of the video
ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY video_id, model_id ORDER BY windows_of_label DESC, mean[label] DESC, label
    ) AS place
    FROM counted JOIN means USING (video_id, model_id)
),
final AS (
    SELECT videos.video_id, videos.path, newest.model_id, newest.sound,
           ranked.label AS dominant_emotion,
           ranked.windows_of_label / ranked.num_windows AS dominant_share,
           ranked.confidence,
           coalesce(ranked.num_windows, 0) AS num_windows,
           coalesce(spoken.seconds_of_speech, 0) AS seconds_of_speech
    FROM newest
    JOIN videos USING (video_id)
    LEFT JOIN spoken USING (video_id, config_id)
    LEFT JOIN ranked ON ranked.video_id = newest.video_id AND ranked.model_id = newest.model_id AND ranked.place = 1
)
SELECT * FROM final
