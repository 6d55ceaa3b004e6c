const { parsePhoneNumber, isValidPhoneNumber } = require('libphonenumber-js');
module.exports = async () => {
  const p = parsePhoneNumber('044 668 18 00', 'CH');
  return { e164: p.number, country: p.country, intl: p.formatInternational(), valid: [p.isValid(), isValidPhoneNumber('044 668 18', 'CH')] };
};
