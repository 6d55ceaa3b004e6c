const express = require('express');
const passport = require('passport');
const { BasicStrategy } = require('passport-http');
passport.use(new BasicStrategy((user, pass, done) => done(null, pass === 'sesame' && { user })));
const app = express();
app.get('/me', passport.authenticate('basic', { session: false }), async (req, res) => {
  const server = app.listen(0, '127.0.0.1');
  await new Promise(r => server.on('listening', r));
  const other = await fetch(`http://127.0.0.1:${server.address().port}/me`, { headers: { authorization: 'Basic Ym9iOng=' } });
  server.close();
  server.closeAllConnections();
  res.json({ me: req.user.user, others: [other.status, other.headers.get('www-authenticate')] });
});
module.exports = app;
