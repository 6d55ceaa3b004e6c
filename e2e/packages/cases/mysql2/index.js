const mysql = require('mysql2/promise');
const core = require('mysql2');
const sha1 = (...parts) => require('node:crypto').createHash('sha1').update(Buffer.concat(parts)).digest();
const right = (salt, token) => { // SHA1(SHA1(password)) is what a server keeps
  const once = sha1(Buffer.from('secret')), mask = sha1(salt, sha1(once));
  return token.length === 20 && token.every((b, i) => b === (once[i] ^ mask[i]));
};
let seen;
const server = core.createServer();
server.on('connection', c => {
  c.serverHandshake({ protocolVersion: 10, serverVersion: '5.6', connectionId: 1, statusFlags: 2, characterSet: 8, capabilityFlags: 0xffffff ^ 0x800,
    authCallback: (p, cb) => cb(null, right(Buffer.concat([p.authPluginData1, p.authPluginData2]).subarray(0, 20), p.authToken) ? null : { message: 'denied', code: 1045 }) });
  c.on('query', sql => {
    seen = sql;
    c.writeColumns([{ catalog: 'def', schema: 's', table: 't', orgTable: 't', name: 'id', orgName: 'id', characterSet: 63, columnLength: 11, columnType: 3, flags: 0, decimals: 0 },
      { catalog: 'def', schema: 's', table: 't', orgTable: 't', name: 'name', orgName: 'name', characterSet: 33, columnLength: 90, columnType: 253, flags: 0, decimals: 0 }]);
    c.writeTextRow([1, "it's"]);
    c.writeEof();
  });
  c.on('error', () => {});
});
module.exports = async () => {
  await new Promise(r => server.listen(0, '127.0.0.1', r));
  const at = { host: '127.0.0.1', port: server._server.address().port, user: 'u' };
  const db = await mysql.createConnection({ ...at, password: 'secret' });
  const [rows] = await db.query('SELECT * FROM t WHERE id = ? AND name = ?', [1, "it's"]);
  const denied = await mysql.createConnection({ ...at, password: 'wrong' }).then(() => 0, e => e.errno);
  db.destroy();
  server.close();
  return { rows, seen, denied };
};
