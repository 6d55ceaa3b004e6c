const { hotp, totp } = require('otplib');
module.exports = async () => ({
  hotp: [0, 1, 2].map(n => hotp.generate('12345678901234567890', n)),
  totp: totp.clone({ epoch: 59000, digits: 8 }).generate('12345678901234567890'),
  sha512: totp.clone({ epoch: 59000, digits: 8, algorithm: 'sha512' }).generate('1234567890123456789012345678901234567890123456789012345678901234'),
});
