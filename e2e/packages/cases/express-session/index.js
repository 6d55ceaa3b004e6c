const express = require('express');
const app = express();
app.use(require('express-session')({ secret: 's', resave: false, saveUninitialized: true }));
app.get('/', (req, res) => { req.session.n = (req.session.n ?? 0) + 1; res.send(String(req.session.n)); });
module.exports = async () => {
  const server = app.listen(0, '127.0.0.1');
  await new Promise(r => server.on('listening', r));
  const get = cookie => fetch(`http://127.0.0.1:${server.address().port}/`, { headers: cookie ? { cookie } : {} });
  const first = await get();
  const cookie = first.headers.get('set-cookie').split(';')[0];
  const out = [await first.text(), await (await get(cookie)).text(), await (await get(cookie.replace(/.$/, '!'))).text()];
  server.closeAllConnections();
  server.close();
  return out; // the last one's signature is broken: a new session
};
