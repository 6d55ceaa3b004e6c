'use strict';
// None of these is declared: npm hoists them.
module.exports = { found: ['accepts', 'qs', 'type-is', 'iconv-lite'].filter(n => { try { require(n); return true; } catch { return false; } }) };
