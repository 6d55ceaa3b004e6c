const RE2 = require('re2');
module.exports = async () => {
  let refused = false;
  try { new RE2('(a)\\1'); } catch { refused = true; } // back references have no linear time
  return {
    evil: new RE2('^(a+)+$').test(`${'a'.repeat(50000)}!`), named: new RE2('(?<y>\\d{4})').exec('in 2024').groups.y,
    replaced: 'a-b'.replace(new RE2('(\\w)-(\\w)'), '$2-$1'), refused,
  };
};
