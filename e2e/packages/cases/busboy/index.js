const busboy = require('busboy');
module.exports = (ctx, req, res) => {
  const out = [];
  req.pipe(busboy({ headers: req.headers })
    .on('field', (name, value) => out.push(`${name}=${value}`))
    .on('file', (name, stream, info) => stream.on('data', d => out.push(`${name}:${info.filename}:${d}`)))
    .on('close', () => res.setHeader('content-type', 'application/json').end(JSON.stringify(out))));
};
