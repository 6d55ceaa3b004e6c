const jwt = require('jsonwebtoken');
const KEY = 'your-256-bit-secret';
const fail = f => { try { f(); } catch (e) { return e; } };
module.exports = async () => {
  const signed = jwt.sign({ sub: '1234567890', name: 'John Doe', iat: 1516239022 }, KEY);
  return {
    known: jwt.verify(signed, KEY), signed,
    errors: [fail(() => jwt.verify(jwt.sign({ exp: 1 }, KEY), KEY)).name, fail(() => jwt.verify(signed, 'other')).message],
  };
};
