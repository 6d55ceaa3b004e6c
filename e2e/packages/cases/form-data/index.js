const FormData = require('form-data');
const busboy = require('busboy');
module.exports = () => new Promise((resolve, reject) => {
  const form = new FormData();
  form.append('name', 'Bob');
  form.append('doc', Buffer.from('hello'), { filename: 'a.txt', contentType: 'text/plain' });
  const got = { fields: {}, files: {} };
  form.pipe(busboy({ headers: form.getHeaders() })
    .on('field', (k, v) => { got.fields[k] = v; })
    .on('file', (k, stream, { filename, mimeType }) => stream.on('data', d => { got.files[k] = [filename, mimeType, String(d)]; }))
    .on('close', () => resolve(got)).on('error', reject));
});
