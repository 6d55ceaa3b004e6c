const JSZip = require('jszip');
const KNOWN = 'UEsDBBQAAAAAAAAAIQCLc5WsCQAAAAkAAAAGAAAAaGkudHh0aGVsbG8gemlwUEsBAhQDFAAAAAAAAAAhAItzlawJAAAACQAAAAYAAAAAAAAAAAAAAIABAAAAAGhpLnR4dFBLBQYAAAAAAQABADQAAAAtAAAAAAA=';
module.exports = async () => {
  const zip = new JSZip();
  zip.folder('a').file('b.txt', 'x');
  const made = await zip.generateAsync({ type: 'nodebuffer', compression: 'DEFLATE' });
  return {
    known: await (await JSZip.loadAsync(KNOWN, { base64: true })).file('hi.txt').async('string'),
    made: Object.keys((await JSZip.loadAsync(made)).files), sig: made.toString('hex', 0, 4),
  };
};
