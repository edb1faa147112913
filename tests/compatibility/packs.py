"""Other people's node packs, run by hand with Respo through a real server: the page's section "Works with"."""

PACKS = """
## Works with

On 2026-11-28 these packs ran with Respo in ComfyUI 0.3.75 on a CPU, by hand: no test installs them. The model is
Emoji World, the prompt "a photo of a doctor", the shares `woman 1, man 1`, with 10 steps of DDIM. Emoji World's
judge says what each picture shows; in the pictures without Respo it sees no woman. Where a row names no seed_from,
this node was used throughout, and the sampler gave the same in one of its variants.

| pack, commit | what ran | as labelled | a mask for each picture |
|---|---|---|---|
| ltdrdata/ComfyUI-Impact-Pack 7.10.6, 727295b | FaceDetailer over a batch of 8, one face each, seed_from: the \
sampler, denoise 0.6 and 0.9 | 8 of 8 | every face got the first mask; refused since (by a test, not run again) \
|
| | the same with seed_from: this node | 5 of 8: all get the first one's | |
| | the same with labels linked | refused | |
| | FaceDetailer with cycle 2, seed_from: the sampler | 3 of 8: the second cycle adds 1 to the seed; **keep \
cycle at 1** | |
| | DetailerForEach, 8 faces in one picture, seed_from: the sampler | 8 of 8 | |
| shiimizu/ComfyUI-TiledDiffusion, a155b1b | 4 pictures of 4 tiles each, MultiDiffusion and Mixture of \
Diffusers, 1 and 4 tiles in a call | 16 of 16 tiles; 1 and 4 in a call differ by at most 1 level of 255 | \
refused, unless one tile covers the picture |
| | SpotDiffusion, which moves its tiles at each step; seed_from: this node | 14 of 16 tiles | |
| Kosinkadink/ComfyUI-AnimateDiff-Evolved 1.5.7, d8d163c | Use Evolved Sampling without a motion model, 8 \
pictures in windows of 4 (Standard Static, Looped Uniform) and of 3 (Batched) | 8 of 8; at most 1 level of 255 \
from the run without windows | 4 of 4 white ones as asked, 4 of 4 black ones at most 1 level from no module |
| ssitu/ComfyUI_UltimateSDUpscale 1.7.0, 297331e | No Upscale, 8 pictures of 2 tiles each, denoise 0.9; also \
with labels linked | 16 of 16 tiles | 4 of 4 black ones unchanged, the white ones changed |
| | the same with batch_size 2, seed_from: this node | 6 of 16 tiles; refused with labels linked. **Keep \
batch_size at 1**: its batches hold the tiles of a picture one after the other, and nothing says so | |
| the same pack 1.7.1, 34a3c2c | read, not run: its crop_model_patch.py stops at every MODEL with a patch, \
FreeU's as well | – | – |

The detailers found their faces by a stand-in for a face detector, whose weights are not shipped here. With Impact
Pack and Ultimate SD Upscale a mask of the whole picture is laid over each crop or tile.

With a record: on 2026-11-29 the same packs ran with Record Run, and Background (strength 0.35) or Where on it.
"Drawn alone" is the oracle: each picture of the batch by itself, with its own record, its noise and its concept.

| pack | what ran | Background with a record | Where with a record |
|---|---|---|---|
| AnimateDiff-Evolved | 8 pictures in windows of 4 (Standard Static, Looped Uniform) and of 3 (Batched); the record \
made in the windows, or without them | as drawn alone: latents at most 0.0002 apart, where the node changes them by \
2.8 to 9.9; 8 of 8 as labelled | as drawn alone: at most 0.0004 apart, of 1.8 to 11.7; 8 of 8 as labelled |
| TiledDiffusion | 2 pictures of 4 tiles, 1 and 4 tiles in a call, in all three methods | refused: a record is of \
whole pictures | MultiDiffusion, a record made without tiles: 7 of 8 tiles as labelled, how much it keeps was not \
measured; one made with tiles is refused |
| | one tile that covers the picture | the run without tiles: latents at \
most 0.0002 apart | MultiDiffusion: at most 0.0001 apart |
| Impact Pack | FaceDetailer over 1 and 4 pictures, denoise 0.5, on a part of the recorded steps | refused: \
it draws pictures of its own, or one of several | refused |
| Ultimate SD Upscale 1.7.0 | No Upscale, tiles of the picture's size, over 1 and 4 pictures, denoise 0.5, on a part \
of the recorded steps | refused: it draws pictures of its own | refused |

Before that day the last two followed the record of the whole picture in silence where the sizes and steps fitted. Give
detailers and upscalers the model with Balance, but without the record.
"""
