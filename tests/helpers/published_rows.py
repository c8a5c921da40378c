"""Rows in the form in which each data set is published, made here: the texts are ours."""

from __future__ import annotations


def tldr(choice=0, first=" Moved for work, cat is sad.", second=" A cat.", post="We moved. My cat hides.", **info):
    return {
        "info": {"id": "t3_1", "post": post, "title": "Sad cat", "subreddit": "cats", "site": None, "article": None, **info},
        "summaries": [{"text": first, "policy": "sup1", "note": None}, {"text": second, "policy": "ref", "note": None}],
        "choice": choice,
        "worker": "w1",
        "batch": "batch3",
        "split": "train",
        "extra": {"confidence": None},
    }


def hh(chosen="Boil water first.", rejected="No.", before="\n\nHuman: How do I make tea?"):
    return {"chosen": f"{before}\n\nAssistant: {chosen}", "rejected": f"{before}\n\nAssistant: {rejected}"}


def coplan(source="human", script="Step 1: boil water Step 2: pour it", goal="make tea"):
    return {"goal": goal, "script": script, "source": source}


def completion(response, ratings, model="alpaca-7b", overall=7.0):
    aspects = ("instruction_following", "honesty", "truthfulness", "helpfulness")
    annotations = {aspect: {"Rating": r, "Rationale": "…"} for aspect, r in zip(aspects, ratings, strict=True)}
    return {
        "model": model,
        "response": response,
        "annotations": annotations,
        "overall_score": overall,
        "fine-grained_score": 0.0,
        "critique": "…",
        "principle": "helpfulness",
        "custom_system_prompt": "…",
    }


def ultrafeedback(*completions, instruction="Name a fruit."):
    return {
        "source": "sharegpt",
        "instruction": instruction,
        "models": [],
        "completions": list(completions),
        "correct_answers": ["None"],
        "incorrect_answers": ["None"],
    }


def helpsteer2(response, helpfulness, prompt="Name a fruit."):
    return {
        "prompt": prompt,
        "response": response,
        "helpfulness": helpfulness,
        "correctness": 4,
        "coherence": 4,
        "complexity": 1,
        "verbosity": 1,
    }


def helpsteer2_preference(strengths, overall=-1, prompt="Name a fruit."):
    return {
        "split": "train",
        "prompt": prompt,
        "response_1": "An apple.",
        "response_2": "A stone.",
        "preference_strength": overall,
        "preference_statement": "…",
        "preference_elaboration": "…",
        "three_most_similar_preferences": [],
        "all_preferences_unprocessed": [{"strength": s, "justification": "…"} for s in strengths],
    }


def helpsteer3(scores, overall=-2):
    return {
        "domain": "general",
        "language": "english",
        "context": [
            {"role": "user", "content": "Name a fruit."},
            {"role": "assistant", "content": "A pear."},
            {"role": "user", "content": "Another."},
        ],
        "response1": "An apple.",
        "response2": "A stone.",
        "overall_preference": overall,
        "individual_preference": [{"score": s, "reasoning": "…", "feedback_summary": None} for s in scores],
    }


def turns(*contents):
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


def arena(winner="model_a", first=None, second=None, **rest):
    return {
        "question_id": "q1",
        "model_a": "vicuna-13b",
        "model_b": "koala-13b",
        "winner": winner,
        "judge": "arena_user_1",
        "conversation_a": turns("Name a fruit.", "An apple.") if first is None else first,
        "conversation_b": turns("Name a fruit.", "A stone.") if second is None else second,
        "turn": 1,
        "anony": True,
        "language": "English",
        "tstamp": 1.0,
        **rest,
    }


def arena_55k(votes=(1, 0, 0), prompt='["Name a fruit."]', first='["An apple."]', second='["A stone."]'):
    return {
        "id": 30192,
        "model_a": "gpt-4",
        "model_b": "koala-13b",
        "prompt": prompt,
        "response_a": first,
        "response_b": second,
        "winner_model_a": votes[0],
        "winner_model_b": votes[1],
        "winner_tie": votes[2],
    }
