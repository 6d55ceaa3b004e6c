const { Server, Client } = require('ssh2');
const { privateKey } = require('node:crypto').generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs1', format: 'pem' }, publicKeyEncoding: { type: 'spki', format: 'pem' } });
const server = new Server({ hostKeys: [privateKey] }, c => c.on('error', () => {}).on('authentication', a => (a.method === 'password' && a.password === 'p' ? a.accept() : a.reject()))
  .on('session', accept => accept().on('exec', (ok, no, { command }) => { const s = ok(); s.write(`ran: ${command}`); s.exit(3); s.end(); })));
const run = (port, password) => new Promise((resolve, reject) => {
  const c = new Client();
  c.on('error', reject).on('ready', () => c.exec('uptime', (err, s) => {
    let out = '', code;
    s.on('data', d => { out += d; }).on('exit', n => { code = n; }).on('close', () => { c.end(); resolve({ out, code }); });
  })).connect({ host: '127.0.0.1', port, username: 'u', password });
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const { port } = server.address();
  const done = await run(port, 'p');
  const refused = await run(port, 'x').catch(e => e.message);
  server.close();
  return { ...done, refused };
};
