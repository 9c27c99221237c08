"use strict";
// Each form says by its id + "-items" which list it filters. A select keeps the items whose data-NAME
// is its value, the text box those that hold all of its words. Without scripts all items are there.
for (const form of document.querySelectorAll("form.filter")) {
  const items = Array.from(document.getElementById(form.id + "-items").children);
  const texts = items.map((item) => item.textContent.toLowerCase());
  const shown = form.querySelector("output");
  const apply = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/);
    let count = 0;
    items.forEach((item, place) => {
      const fits = Array.from(form.querySelectorAll("select")).every(
        (select) => select.value === "" || item.dataset[select.name] === select.value
      );
      item.hidden = !(fits && words.every((word) => texts[place].includes(word)));
      count += item.hidden ? 0 : 1;
    });
    shown.textContent = count + " of " + items.length + " shown";
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}
