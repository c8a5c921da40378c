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


def multipref(crowd=("A-is-slightly-better", "Tie"), experts=("A-is-clearly-better", "B-is-slightly-better")):
    def said(who, overall):
        return {"evaluator": who, "overall_pref": overall, "helpful_pref": "Tie", "overall_confidence": "very", "time_spent": 60}

    return {
        "comparison_id": "c1",
        "prompt_id": "p1",
        "text": "Name a fruit.",
        "highest_level_degree": "any",
        "model_a": "llama",
        "model_b": "tulu",
        "completion_a": "An apple.",
        "completion_b": "A stone.",
        "category": "Open QA",
        "normal_worker_annotations": [said(f"n{i}", overall) for i, overall in enumerate(crowd)],
        "expert_worker_annotations": [said(f"e{i}", overall) for i, overall in enumerate(experts)],
    }


def prism(response, score, turn=0, interaction="int1"):
    return {
        "utterance_id": f"ut-{response}",
        "interaction_id": interaction,
        "conversation_id": "c1",
        "user_id": "user0",
        "turn": turn,
        "within_turn_id": 0,
        "included_in_balanced_subset": True,
        "conversation_type": "unguided",
        "user_prompt": "Name a fruit.",
        "model_response": response,
        "model_name": "command",
        "model_provider": "cohere",
        "score": score,
        "if_chosen": score == 90,
    }


def shp(labels=1):
    return {
        "post_id": "abc",
        "domain": "askculinary_train",
        "upvote_ratio": 0.98,
        "history": "Which fruit keeps longest?\n",
        "c_root_id_A": "a",
        "c_root_id_B": "b",
        "score_A": 30,
        "score_B": 10,
        "human_ref_A": "An apple.",
        "human_ref_B": "A stone.",
        "labels": labels,
        "seconds_difference": 100.0,
        "score_ratio": 3.0,
    }


def webgpt(score=0.5, first="Apples [1].", second="Stones."):
    return {
        "question": {"dataset": "eli5", "id": "q", "full_text": "Which fruit keeps?"},
        "quotes_0": {"title": ["Fruit"], "extract": ["…"]},
        "answer_0": first,
        "tokens_0": {"prefix": [], "completion": []},
        "score_0": score,
        "quotes_1": {"title": [], "extract": []},
        "answer_1": second,
        "tokens_1": {"prefix": [], "completion": []},
        "score_1": -score,
    }


def oasst(identifier, text, parent=None, rank=None, role="assistant", **rest):
    return {
        "message_id": identifier,
        "parent_id": parent,
        "user_id": "u",
        "created_date": "2023-02-05",
        "text": text,
        "role": role,
        "lang": "en",
        "review_count": 3,
        "review_result": True,
        "deleted": False,
        "rank": rank,
        "synthetic": False,
        "model_name": None,
        "message_tree_id": "m0",
        "tree_state": "ready_for_export",
        "emojis": None,
        "labels": {"name": ["spam"], "value": [0.0], "count": [3]},
        **rest,
    }


def nectar(*ranks, prompt="\n\nHuman: Name a fruit.\n\nAssistant: "):
    answers = [{"answer": f"answer {rank}", "model": f"m{i}", "rank": float(rank)} for i, rank in enumerate(ranks)]
    return {
        "prompt": prompt,
        "answers": answers,
        "turns": 1,
        "num_responses": len(ranks),
        "source": ["sharegpt"],
        "good_natured": True,
    }


def pku(better=0, safer=1):
    return {
        "prompt": "Name a fruit.",
        "response_0": "An apple.",
        "response_1": "A stone.",
        "prompt_source": "BeaverTails",
        "response_0_source": "Alpaca-7B",
        "response_1_source": "Alpaca-7B",
        "is_response_0_safe": True,
        "is_response_1_safe": True,
        "response_0_harm_category": {"Privacy Violation": False},
        "response_0_severity_level": 0,
        "better_response_id": better,
        "safer_response_id": safer,
        "response_0_sha256": "…",
    }


def dices(rater, response, overall, context="USER: hi"):
    return {
        "id": "1",
        "rater_id": rater,
        "rater_gender": "Woman",
        "rater_locale": "US",
        "phase": "Phase1",
        "item_id": "7",
        "answer_time_ms": "1000",
        "context": context,
        "response": response,
        "safety_gold": "No",
        "Q1_whole_conversation_evaluation": "No",
        "Q_overall": overall,
    }


def h4_binarized(chosen="An apple.", rejected="A stone.", scores=(8.5, 6.0)):
    return {
        "prompt": "Name a fruit.",
        "prompt_id": "…",
        "chosen": turns("Name a fruit.", chosen),
        "rejected": turns("Name a fruit.", rejected),
        "messages": turns("Name a fruit.", chosen),
        "score_chosen": scores[0],
        "score_rejected": scores[1],
    }


def argilla_binarized(clean=True):
    if clean:
        return {
            "source": "evol_instruct",
            "prompt": "Name a fruit.",
            "chosen": turns("Name a fruit.", "An apple."),
            "chosen-rating": 5.0,
            "chosen-model": "gpt-4",
            "rejected": turns("Name a fruit.", "A stone."),
            "rejected-rating": 3.75,
            "rejected-model": "alpaca-7b",
        }
    return {
        "source": "evol_instruct",
        "instruction": "Name a fruit.",
        "chosen_response": "An apple.",
        "rejected_response": "A stone.",
        "chosen_avg_rating": 5.0,
        "rejected_avg_rating": 3.75,
        "chosen_model": "gpt-4",
    }


def argilla(*answers, fields=None, question="preference"):
    return {
        "id": "r1",
        "fields": fields or {"prompt": "Name a fruit.", "response_a": "An apple.", "response_b": "A stone."},
        "metadata": {"batch": 3},
        "vectors": {},
        "status": "completed",
        "suggestions": {question: {"value": "response_b", "score": 0.9, "agent": "gpt-4"}},
        "responses": {
            question: [{"value": value, "user_id": f"u{i}"} for i, value in enumerate(answers)],
            "comment": [{"value": "fine", "user_id": "u0"}],
        },
    }


def label_studio(*selected, cancelled=()):
    def annotation(i, side):
        value = {"from_name": "comparison", "to_name": "answer1,answer2", "type": "pairwise", "value": {"selected": side}}
        return {
            "id": i,
            "completed_by": {"id": i, "email": "…"},
            "was_cancelled": i in cancelled,
            "result": [value],
            "lead_time": 3.1,
        }

    return {
        "id": 12,
        "data": {"prompt": "Name a fruit.", "answer1": "An apple.", "answer2": "A stone."},
        "annotations": [annotation(i, side) for i, side in enumerate(selected)],
        "predictions": [{"result": [{"type": "pairwise", "value": {"selected": "right"}}]}],
        "total_annotations": len(selected),
    }


def nemo(prompt="<extra_id_0>System\n\n<extra_id_1>User\nName a fruit.\n<extra_id_1>Assistant\n", rewards=(4.0, 1.5)):
    return {
        "prompt": prompt,
        "chosen_response": "An apple.\n<extra_id_1>",
        "rejected_response": "A stone.\n<extra_id_1>",
        "chosen_reward": rewards[0],
        "rejected_reward": rewards[1],
    }


def nemo_rl(*ranks):
    return {
        "context": turns("Name a fruit."),
        "completions": [{"rank": r, "completion": [{"role": "assistant", "content": f"answer {r}"}]} for r in ranks],
    }
