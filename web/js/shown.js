// How text of a stranger's workflow is shown, as respo_train/core/shown.py does it: a mark that turns the direction of
// writing could make "75%" read "57%".
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu; // controls, format marks, lone surrogates, separators of lines
const KEPT = "\n\t\u200d"; // U+200D joins the parts of an emoji

function escaped(mark) {
  const code = mark.codePointAt(0);
  const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
  return `\\${letter}${code.toString(16).padStart(digits, "0")}`;
}

// "a\u202eb" with the mark itself -> with its six signs instead; line feeds and tabs stay.
export const printable = (text) => text.replace(HIDDEN, (mark) => (KEPT.includes(mark) ? mark : escaped(mark)));

// At most `most` signs of a text, and "…" for the rest: a page takes a second to lay out a million.
export const shortened = (text, most = 80) => printable(text.length > most ? `${text.slice(0, most)}…` : text);
