const s = require('speakeasy');
module.exports = async () => ({
  totp: s.totp({ secret: '12345678901234567890', time: 1111111109, digits: 8 }),
  ok: s.totp.verify({ secret: '12345678901234567890', token: '14050471', time: 1111111111, digits: 8 }),
  url: s.otpauthURL({ secret: '12345', label: 'Hearth' }),
});
