const i18next = require('i18next');
module.exports = async () => {
  const i = i18next.createInstance();
  await i.init({ lng: 'de', fallbackLng: 'en', resources: { de: { translation: { apple_one: '{{count}} Apfel', apple_other: '{{count}} Äpfel' } }, en: { translation: { hi: 'Hello {{name}}' } } } });
  return [i.t('apple', { count: 3 }), i.t('apple', { count: 1 }), i.t('hi', { name: 'Bob' })];
};
