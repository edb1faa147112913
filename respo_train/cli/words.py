"""What to do about an error, in the words of the command line: see `core.errors.Remedy`."""

from __future__ import annotations

OPTIONS = {
    "batch": "give --batch {}",
    "checkpoint": "give --checkpoint the same file",
    "compile": "give --compile as before",
    "guidance": "try a lower --guidance",
    "judge": "choose another --judge",
    "judge_prompts": "give a CLIP judge --judge-prompts",
    "out": "choose another --out",
    "overwrite": "train anew with --overwrite",
    "picture_guidance": "try a lower picture_guidance in the preset",
    "plain": "leave out --compile as before",
    "precision": "give --precision {}",
    "processes": "use torchrun with --nproc_per_node {}",
    "resume": "continue it with --resume",
    "steps": "give --steps {} or more",
    "strength": "try a lower --strength",
}
