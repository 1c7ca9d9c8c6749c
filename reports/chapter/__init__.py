"""The page that answers the chapter: its questions, their measurements, the questionnaire."""
