const yauzl = require('yauzl');
const KNOWN = 'UEsDBBQAAAAAAAAAIQCLc5WsCQAAAAkAAAAGAAAAaGkudHh0aGVsbG8gemlwUEsBAhQDFAAAAAAAAAAhAItzlawJAAAACQAAAAYAAAAAAAAAAAAAAIABAAAAAGhpLnR4dFBLBQYAAAAAAQABADQAAAAtAAAAAAA=';
module.exports = cb => yauzl.fromBuffer(Buffer.from(KNOWN, 'base64'), (err, zip) => (err ? cb(err) : zip.on('entry', e =>
  zip.openReadStream(e, async (err2, s) => cb(err2, [e.fileName, e.uncompressedSize, String(Buffer.concat(await s.toArray()))])))));
